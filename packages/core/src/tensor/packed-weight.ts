import type { WeightFormat } from './dtype.ts'

/**
 * A weight matrix in its stored format, opaque to tfjs: a backend pack makes, reads and frees it.
 * Row-major `[rows, cols]` = `[outFeatures, inFeatures]`; block formats run along `cols`.
 */
export interface PackedWeight {
  readonly format: WeightFormat
  readonly rows: number
  readonly cols: number
  readonly sizeInBytes: number
  /** Frees the memory; using the weight afterwards is a bug. */
  dispose(): void
  /** Copies row `row` out as float32 `[cols]`: for composites, tests and converters, not for hot paths. */
  readRow(row: number, out: Float32Array): void
}

/** What `packWeight` is asked for. */
export interface PackedWeightSpec {
  readonly format: WeightFormat
  readonly rows: number
  readonly cols: number
}

/** Writes the whole matrix, `rows * rowBytes(format, cols)` bytes, straight into the backend's memory: loading never holds it twice. */
export type FillWeight = (bytes: Uint8Array) => void

/** Equally spaced rows of an open file, in the bytes that `FillWeight` would write. */
export interface StoredRows {
  /** The file's path, for messages. */
  readonly file: string
  /** File descriptor, open while `packWeight` runs. */
  readonly fd: number
  /** Of the first row, in bytes. */
  readonly position: number
  /** From the start of a row to the start of the next, in bytes; at least a row's own. */
  readonly stride: number
  readonly count: number
}
