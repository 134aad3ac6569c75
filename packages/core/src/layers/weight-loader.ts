import { keep, tensor1d } from '@tensorflow/tfjs-core'
import type { Tensor1D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import { CheckpointError, OctavoError } from '../errors.ts'
import { canConcatenate, loadMatrix, loadVector } from '../loading/load-weight.ts'
import type { LoadMatrixOptions } from '../loading/load-weight.ts'
import { requireWeight } from '../loading/weight-source.ts'
import type { RowRange, WeightSource } from '../loading/weight-source.ts'
import type { DType } from '../tensor/dtype.ts'
import { isDense, rowBytes, weightFormats } from '../tensor/dtype.ts'
import { isGrouped } from '../tensor/packed-weight.ts'
import type { FillWeight, PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import type { Communicator } from './communicator.ts'

export interface WeightLoaderOptions {
  readonly source: WeightSource
  readonly pack: BackendPack
  readonly dtype: DType | 'auto'
  readonly communicator: Communicator
  readonly onProgress?: (loadedBytes: number, totalBytes: number) => void
}

export interface MatrixOptions extends Omit<LoadMatrixOptions, 'dtype'> {
  /** Keep these columns only. */
  readonly cols?: RowRange
}

interface Owned {
  dispose(): void
}

/**
 * Loads a model's weights and owns them: whatever it hands out lives until `dispose`, also when loading stops half-way.
 * Names are given in full, as the checkpoint has them.
 */
export class WeightLoader {
  readonly communicator: Communicator
  readonly source: WeightSource
  readonly #options: WeightLoaderOptions
  readonly #owned: Owned[] = []
  readonly #totalBytes: number
  #sizeInBytes = 0
  #loadedBytes = 0

  constructor(options: WeightLoaderOptions) {
    this.#options = options
    this.communicator = options.communicator
    this.source = options.source
    this.#totalBytes = options.source.names().reduce((sum, name) => sum + storedBytes(options.source, name), 0)
  }

  /** Bytes that the loaded weights take. */
  get sizeInBytes(): number {
    return this.#sizeInBytes
  }

  has(name: string): boolean {
    return this.source.get(name) !== null
  }

  /** Whether these tensors can become one weight without being converted. */
  canStack(names: readonly string[]): boolean {
    return this.#options.dtype !== 'auto' || names.length === 1 || canConcatenate(this.source, names)
  }

  /** Throws CheckpointError where a tensor is missing or has another shape. */
  matrix({ cols, ...options }: MatrixOptions): PackedWeight {
    const { source, pack, dtype } = this.#options
    const target =
      cols === undefined ? pack : columnPack(pack, cols, { file: source.file, name: options.names[0] ?? '' })
    const weight = loadMatrix(source, target, { ...options, dtype })
    this.#own(weight, weight.sizeInBytes)
    for (const name of options.names) this.#progress(name, options.matrixIndex)
    return weight
  }

  /** `[length]`, or the given ranges of it one after the other, as float32. */
  vector(name: string, length: number, ranges?: readonly RowRange[]): Tensor1D {
    return this.tensor(select(this.hostVector(name, length), ranges))
  }

  /** `[length]` as float32 values, owned by nobody. */
  hostVector(name: string, length: number): Float32Array {
    const values = loadVector(this.source, name, length)
    this.#progress(name)
    return values
  }

  /** Row `row` of a matrix `[rows, cols]` as float32 values, owned by nobody. */
  hostRow(name: string, row: number, shape: readonly [rows: number, cols: number]): Float32Array {
    const info = requireWeight(this.source, name)
    if (info.shape.length !== 2 || info.shape[0] !== shape[0] || info.shape[1] !== shape[1]) {
      throw new CheckpointError(info.file, `expected shape [${shape.join(', ')}], found [${info.shape.join(', ')}]`, {
        tensor: name,
      })
    }
    this.#progress(name, row)
    return this.source.readFloat32(name, { start: row, end: row + 1 })
  }

  /** A tensor that outlives any `tidy`. */
  tensor(values: Float32Array): Tensor1D {
    const tensor = keep(tensor1d(values, 'float32'))
    this.#own(tensor, values.byteLength)
    return tensor
  }

  /** Takes over something else that must be freed with the weights. */
  own(owned: Owned): void {
    this.#owned.push(owned)
  }

  finish(): void {
    this.#options.onProgress?.(this.#totalBytes, this.#totalBytes)
  }

  dispose(): void {
    for (const owned of this.#owned.splice(0)) owned.dispose()
    this.#sizeInBytes = 0
  }

  #own(owned: Owned, sizeInBytes: number): void {
    this.#owned.push(owned)
    this.#sizeInBytes += sizeInBytes
  }

  #progress(name: string, index?: number): void {
    const info = this.source.get(name)
    if (info === null) return
    this.#loadedBytes += index === undefined ? info.sizeInBytes : info.sizeInBytes / (info.shape[0] ?? 1)
    this.#options.onProgress?.(Math.min(Math.floor(this.#loadedBytes), this.#totalBytes), this.#totalBytes)
  }
}

/** Row-parallel shards need a column range: where the backend can't read it from the file, the whole matrix passes through a buffer. */
function columnPack(
  pack: BackendPack,
  cols: RowRange,
  { file, name }: { file: string; name: string },
): Pick<BackendPack, 'packWeight'> {
  const packWeight: BackendPack['packWeight'] = (spec, fill, stored) => {
    const { format } = spec
    assert(!isGrouped(format), 'loadMatrix packs rows')
    const { blockElements } = weightFormats[format]
    if (!isDense(format) && (cols.start % blockElements !== 0 || cols.end % blockElements !== 0)) {
      throw new CheckpointError(
        file,
        `columns ${cols.start}..${cols.end} cut through blocks of ${blockElements}; use fewer ranks or a dense checkpoint`,
        { tensor: name },
      )
    }
    const stride = rowBytes(format, spec.cols)
    const from = rowBytes(format, cols.start)
    const width = rowBytes(format, cols.end - cols.start)
    const fillColumns: FillWeight = (bytes) => {
      const whole = new Uint8Array(spec.rows * stride)
      fill(whole)
      for (let row = 0; row < spec.rows; row++)
        bytes.set(whole.subarray(row * stride + from, row * stride + from + width), row * width)
    }
    const shifted = stored?.map((rows) => ({ ...rows, position: rows.position + from })) ?? null
    return pack.packWeight({ ...spec, cols: cols.end - cols.start }, fillColumns, shifted)
  }
  return { packWeight }
}

/** Sources refuse tensors that nothing can compute with; where such a tensor is not used (old files hold masks), it does not matter. */
function storedBytes(source: WeightSource, name: string): number {
  try {
    return source.get(name)?.sizeInBytes ?? 0
  } catch (error) {
    if (OctavoError.isInstance(error)) return 0
    throw error
  }
}

function select(values: Float32Array, ranges: readonly RowRange[] | undefined): Float32Array {
  if (ranges === undefined) return values
  const selected = new Float32Array(ranges.reduce((sum, { start, end }) => sum + end - start, 0))
  let to = 0
  for (const { start, end } of ranges) {
    selected.set(values.subarray(start, end), to)
    to += end - start
  }
  return selected
}
