import { CheckpointError } from '../errors.ts'
import { isRawBlock, isRawOnly, type RawTensor } from '../loading/raw-tensor.ts'
import { readWidened } from '../loading/stored-weights.ts'
import { weightCols, weightRows, type RowRange, type WeightInfo, type WeightSource } from '../loading/weight-source.ts'
import { rowBytes } from '../tensor/dtype.ts'
import type { EncodedTensor } from './encoded-tensor.ts'

/** A checkpoint of tensors of any dtype, for tests. */
export class RawWeights implements WeightSource {
  readonly file = 'memory.safetensors'
  readonly #tensors: ReadonlyMap<string, EncodedTensor>

  constructor(modules: Readonly<Record<string, readonly EncodedTensor[]>>) {
    this.#tensors = new Map(
      Object.entries(modules).flatMap(([module, tensors]) =>
        tensors.map((tensor) => [`${module}.${tensor.suffix}`, tensor] as const),
      ),
    )
  }

  names(): readonly string[] {
    return [...this.#tensors.keys()]
  }

  get(name: string): WeightInfo | null {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) return null
    const { dtype, shape, bytes } = tensor
    if (isRawOnly(dtype) || isRawBlock(dtype))
      throw new CheckpointError(this.file, `its dtype is ${dtype}`, { tensor: name })
    return { name, file: this.file, shape, format: dtype, sizeInBytes: bytes.length }
  }

  read(name: string, bytes: Uint8Array, rows?: RowRange): void {
    const info = this.get(name)!
    const stride = rowBytes(info.format, weightCols(info))
    const { start, end } = rows ?? { start: 0, end: weightRows(info) }
    bytes.set(this.#tensors.get(name)!.bytes.subarray(start * stride, end * stride))
  }

  locate(): null {
    return null
  }

  readFloat32(name: string, rows?: RowRange): Float32Array {
    return readWidened(this, this.get(name)!, rows)
  }

  raw(name: string): RawTensor | null {
    const tensor = this.#tensors.get(name)
    if (tensor === undefined) return null
    const { dtype, shape, bytes: stored } = tensor
    return {
      name,
      file: this.file,
      dtype,
      shape,
      sizeInBytes: stored.length,
      read: (bytes, start = 0) => bytes.set(stored.subarray(start, start + bytes.length)),
      locate: () => null,
    }
  }

  close(): void {}
}

/** A tensor of 32-bit integers. */
export function intTensor(suffix: string, values: readonly (readonly number[])[] | readonly number[]): EncodedTensor {
  const shape = Array.isArray(values[0]) ? [values.length, values[0].length] : [values.length]
  return { suffix, dtype: 'int32', shape, bytes: new Uint8Array(Int32Array.from(values.flat()).buffer) }
}
