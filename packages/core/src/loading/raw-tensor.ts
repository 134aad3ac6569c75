import type { WeightFormat } from '../tensor/dtype.ts'
import type { StoredRows } from '../tensor/packed-weight.ts'

/** Bits of an element, of dtypes that no kernel computes with; planes of quantized weights have them. */
export const rawBits = {
  float64: 64,
  complex64: 64,
  int64: 64,
  uint64: 64,
  int32: 32,
  uint32: 32,
  int16: 16,
  uint16: 16,
  int8: 8,
  uint8: 8,
  bool: 8,
  float8_e4m3: 8,
  float8_e5m2: 8,
  float8_e8m0: 8,
  float8_e4m3fnuz: 8,
  float8_e5m2fnuz: 8,
  float6_e2m3: 6,
  float6_e3m2: 6,
  float4: 4,
} as const

export type RawOnlyDType = keyof typeof rawBits

/** What a file's elements are. */
export type RawDType = WeightFormat | RawOnlyDType

export function isRawOnly(dtype: RawDType): dtype is RawOnlyDType {
  return Object.hasOwn(rawBits, dtype)
}

/** A tensor as its file has it: little-endian, row-major, of any dtype. */
export interface RawTensor {
  readonly name: string
  readonly file: string
  readonly dtype: RawDType
  /** Slowest dimension first. */
  readonly shape: readonly number[]
  readonly sizeInBytes: number
  /** Fills `bytes` from byte `start` of the tensor on; default 0. */
  read(bytes: Uint8Array, start?: number): void
  /** Where its first byte lies in an open file; `null` where its bytes are in none as they are. Counts as reading it. */
  locate(): Pick<StoredRows, 'file' | 'fd' | 'position'> | null
}
