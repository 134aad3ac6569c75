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
