import { CheckpointError } from '../errors.ts'
import type { RawTensor } from '../loading/raw-tensor.ts'
import { readWidened } from '../loading/stored-weights.ts'
import { weightCols, weightRows } from '../loading/weight-source.ts'
import type { RowRange, WeightInfo, WeightSource } from '../loading/weight-source.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { rowBytes } from '../tensor/dtype.ts'
import type { DType } from '../tensor/dtype.ts'

export interface MemoryTensor {
  readonly shape: readonly number[]
  readonly values: Float32Array
  /** Default float32. */
  readonly format?: DType
}

/** A checkpoint of a few tensors, for tests. */
export class MemoryWeights implements WeightSource {
  readonly file = 'memory.safetensors'
  readonly #tensors = new Map<string, { readonly info: WeightInfo; readonly bytes: Uint8Array }>()

  constructor(tensors: Readonly<Record<string, MemoryTensor>>) {
    for (const [name, { shape, values, format = 'float32' }] of Object.entries(tensors)) {
      const bytes = new Uint8Array(rowBytes(format, values.length))
      encodeRow(format, values, bytes, 0)
      this.#tensors.set(name, { info: { name, file: this.file, shape, format, sizeInBytes: bytes.length }, bytes })
    }
  }

  names(): readonly string[] {
    return [...this.#tensors.keys()]
  }

  get(name: string): WeightInfo | null {
    return this.#tensors.get(name)?.info ?? null
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const { info, bytes: stored } = this.#require(name)
    const stride = rowBytes(info.format, weightCols(info))
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    bytes.set(stored.subarray(start * stride, end * stride))
  }

  locate(): null {
    return null
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    return readWidened(this, this.#require(name).info, rows)
  }

  raw(name: string): RawTensor | null {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) return null
    const { info, bytes: stored } = tensor
    const read = (bytes: Uint8Array, start = 0): void => bytes.set(stored.subarray(start, start + bytes.length))
    return { ...info, dtype: info.format, read, locate: () => null }
  }

  close(): void {}

  #require(name: string): { readonly info: WeightInfo; readonly bytes: Uint8Array } {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) throw new CheckpointError(this.file, 'missing', { tensor: name })
    return tensor
  }
}

/** Values in [-1, 1), the same for the same seed. */
export function randomValues(length: number, seed: number): Float32Array {
  let state = (seed * 2_654_435_761) >>> 0
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return (state >>> 8) / 2 ** 23 - 1
  })
}
