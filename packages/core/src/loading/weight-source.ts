import { CheckpointError, OctavoError } from '../errors.ts'
import type { WeightFormat } from '../tensor/dtype.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'
import type { RawTensor } from './raw-tensor.ts'

export interface WeightInfo {
  readonly name: string
  readonly file: string
  /** Row-major, slowest dimension first, as in PyTorch. */
  readonly shape: readonly number[]
  readonly format: WeightFormat
  readonly sizeInBytes: number
  /**
   * Which way a matrix lies; left out, as its architecture has it in Hugging Face's files: `[out, in]` unless a view of the
   * source says otherwise (`weight-view.ts`). GGUF's are `[out, in]` even where those are not.
   */
  readonly orientation?: 'out-in' | 'in-out'
}

export interface RowRange {
  readonly start: number
  readonly end: number
}

/**
 * A checkpoint's tensors under their Hugging Face names, read on demand. A matrix counts as rows of its last
 * dimension: a `[experts, out, in]` tensor has `experts * out` rows; a vector has one row.
 */
export interface WeightSource {
  /** The checkpoint, for messages. */
  readonly file: string
  names(): readonly string[]
  /** `null` where the checkpoint has no such tensor; throws CheckpointError where its dtype can't be computed with. */
  get(name: string): WeightInfo | null
  /** Reads stored bytes of the given rows into `bytes`, which must have exactly their size. */
  read(name: string, bytes: Uint8Array, rows?: RowRange): void
  /** Where the bytes that `read` gives lie in open files; `null` where they are not in any file as they are. */
  locate(name: string, rows?: RowRange): readonly StoredRows[] | null
  /** Reads the given rows widened to float32. */
  readFloat32(name: string, rows?: RowRange): Float32Array
  /**
   * The tensor as its file has it, also in a dtype that `get` refuses: integers, bytes, eight-bit floats. `null` where the
   * checkpoint has no such tensor; throws CheckpointError where its size is not known.
   */
  raw(name: string): RawTensor | null
  close(): void
}

/** The last dimension; a scalar has one column. */
export function weightCols(info: WeightInfo): number {
  return info.shape.at(-1) ?? 1
}

/** All dimensions but the last, multiplied; a vector or scalar has one row. */
export function weightRows(info: WeightInfo): number {
  return info.shape.slice(0, -1).reduce((product, size) => product * size, 1)
}

/** The tensor's description; throws CheckpointError where the checkpoint lacks it. */
export function requireWeight(source: WeightSource, name: string): WeightInfo {
  const info = source.get(name)
  if (info !== null) return info
  const similar = source.names().find((other) => other.endsWith(`.${name}`) || name.endsWith(`.${other}`))
  const hint = similar === undefined ? '' : ` (there is "${similar}")`
  throw new CheckpointError(source.file, `missing among ${source.names().length} tensors${hint}`, { tensor: name })
}

/** The tensor's size in its file, whatever its dtype; 0 where that is not known. */
export function storedBytes(source: WeightSource, name: string): number {
  try {
    return source.raw(name)?.sizeInBytes ?? 0
  } catch (error) {
    if (OctavoError.isInstance(error)) return 0
    throw error
  }
}

/** The tensor's description; `null` also where the source refuses its dtype: what is not used may be anything. */
export function tryWeight(source: WeightSource, name: string): WeightInfo | null {
  try {
    return source.get(name)
  } catch (error) {
    if (OctavoError.isInstance(error)) return null
    throw error
  }
}
