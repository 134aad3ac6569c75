import { CheckpointError } from '@octavo/core'
import { assert } from '@octavo/core/backend'
import { dequantizeRow, isDense, rowBytes, weightCols, weightRows, type RowRange } from '@octavo/core/loading'
import type { RawTensor, StoredRows, WeightFormat, WeightInfo, WeightSource } from '@octavo/core/loading'
import { createGroupedReader } from '@octavo/core/quantization'
import type { GroupedTensors, GroupedWeight } from '@octavo/core/quantization'
import { blockFor, groupedToBlocks } from './grouped-blocks.ts'
import { readFinite } from './read-finite.ts'
import { isBesideWeight, listModules, type OpenedSource } from './open-source.ts'

/** How quantized modules are given: their values, or the blocks of GGUF that have the same. */
export type Expansion = 'float32' | 'blocks'

/**
 * A checkpoint whose quantized modules have a tensor `<module>.weight` as any other: under the layers' names. One matrix is in
 * memory at a time.
 */
export class ExpandedSource implements WeightSource {
  readonly file: string
  readonly #opened: OpenedSource
  readonly #expansion: Expansion
  readonly #modules = new Map<string, GroupedTensors>()
  readonly #names: readonly string[]
  /** Of the module read last: its rows in the format that is given. */
  #last: { readonly name: string; readonly format: WeightFormat; readonly bytes: Uint8Array } | null = null

  constructor(opened: OpenedSource, expansion: Expansion) {
    this.file = opened.source.file
    this.#opened = opened
    this.#expansion = expansion
    for (const [module, tensors] of listModules(opened))
      if (tensors !== null) this.#modules.set(`${module}.weight`, tensors)
    const isPlane = (name: string): boolean =>
      this.#modules.has(`${name.slice(0, Math.max(0, name.lastIndexOf('.')))}.weight`) && !isBesideWeight(name)
    const others = opened.view.names().filter((name) => !isPlane(name))
    this.#names = [...others, ...this.#modules.keys()]
  }

  names(): readonly string[] {
    return this.#names
  }

  get(name: string): WeightInfo | null {
    const module = this.#modules.get(name)
    if (module === undefined) return this.#opened.view.get(name)
    const { rows, cols, file } = module
    // A block's format depends on the values.
    const format = this.#expansion === 'float32' ? 'float32' : this.#expand(name, module).format
    return {
      name,
      file,
      shape: [rows, cols],
      format,
      sizeInBytes: rows * rowBytes(format, cols),
      orientation: 'out-in',
    }
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const module = this.#modules.get(name)
    if (module === undefined) return this.#opened.view.read(name, bytes, rows)
    const { start, end } = rows ?? { start: 0, end: module.rows }
    if (start === end) return
    const { format, bytes: all } = this.#expand(name, module)
    const stride = rowBytes(format, module.cols)
    assert(bytes.length === (end - start) * stride, `${bytes.length} bytes for ${end - start} rows of ${name}`)
    bytes.set(all.subarray(start * stride, end * stride))
  }

  locate(): readonly StoredRows[] | null {
    return null
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    const info = this.get(name)
    if (info === null) throw new CheckpointError(this.file, 'missing', { tensor: name })
    if (!this.#modules.has(name)) return this.#opened.view.readFloat32(name, rows)
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    const cols = weightCols(info)
    const stride = rowBytes(info.format, cols)
    const bytes = new Uint8Array((end - start) * stride)
    this.read(name, bytes, { start, end })
    const values = new Float32Array((end - start) * cols)
    for (let row = 0; row < end - start; row++)
      dequantizeRow(info.format, bytes, row * stride, values.subarray(row * cols), cols)
    return values
  }

  raw(name: string): RawTensor | null {
    return this.#modules.has(name) ? null : this.#opened.view.raw(name)
  }

  close(): void {
    this.#opened.source.close()
  }

  #expand(name: string, module: GroupedTensors): { readonly format: WeightFormat; readonly bytes: Uint8Array } {
    if (this.#last?.name === name) return this.#last
    this.#last = null
    const weight = readFinite(module)
    const format = this.#expansion === 'float32' ? 'float32' : blockFor(weight, module.module)
    const bytes = format === 'float32' ? floatsOf(weight) : groupedToBlocks(weight, format)
    assert(isDense(format) === (this.#expansion === 'float32'), `${name} in ${format}`)
    this.#last = { name, format, bytes }
    return this.#last
  }
}

export function floatsOf(weight: GroupedWeight): Uint8Array {
  const { rows, cols } = weight
  const values = new Float32Array(rows * cols)
  const readRow = createGroupedReader(weight, weight.planes)
  for (let row = 0; row < rows; row++) readRow(row, values.subarray(row * cols, (row + 1) * cols))
  return new Uint8Array(values.buffer)
}
