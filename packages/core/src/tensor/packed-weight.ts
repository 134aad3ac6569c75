import { assert } from '../util/assert.ts'
import { rowBytes, type WeightFormat } from './dtype.ts'
import { checkGroupedFormat, describeGrouped, planesOf, type GroupedFormat, type PlaneName } from './grouped-format.ts'

/** Rows of floats or blocks under the format's name, or planes. */
export type PackedFormat = WeightFormat | GroupedFormat

/**
 * A weight matrix in its stored format, opaque to tfjs: a backend pack makes, reads and frees it.
 * Row-major `[rows, cols]` = `[outFeatures, inFeatures]`; blocks and groups run along `cols`.
 */
export interface PackedWeight {
  readonly format: PackedFormat
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
  readonly format: PackedFormat
  readonly rows: number
  readonly cols: number
}

/**
 * Writes the whole matrix, `weightBytes(spec)` bytes, straight into the backend's memory: loading never holds it twice.
 * One row behind the other, or one plane behind the other as `planesOf` says.
 */
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
  /** Of a grouped weight: whose rows these are; the order is one row. Planes come in their order. */
  readonly plane?: PlaneName
}

export function isGrouped(format: PackedFormat): format is GroupedFormat {
  return typeof format === 'object'
}

/** For messages. */
export function describeFormat(format: PackedFormat): string {
  return isGrouped(format) ? describeGrouped(format) : format
}

/**
 * Bytes of the matrix as it is stored.
 * @throws UnsupportedModelError for a grouped format that no weight can have.
 */
export function weightBytes({ format, rows, cols }: PackedWeightSpec): number {
  if (isGrouped(format)) {
    checkGroupedFormat(format)
    return planesOf({ format, rows, cols }).sizeInBytes
  }
  const stride = rowBytes(format, cols)
  assert(Number.isInteger(stride), `a ${format} row of ${cols} elements is not whole blocks`)
  return rows * stride
}
