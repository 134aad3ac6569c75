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

/** Blocks of GGUF that are turned into other formats as they are read: elements and bytes of each (ggml `ggml-common.h`). */
export const rawBlocks = {
  q8_1: [32, 36],
  q2_k: [256, 84],
  q3_k: [256, 110],
  q8_k: [256, 292],
  iq2_xxs: [256, 66],
  iq2_xs: [256, 74],
  iq2_s: [256, 82],
  iq3_xxs: [256, 98],
  iq3_s: [256, 110],
  iq1_s: [256, 50],
  iq1_m: [256, 56],
  iq4_nl: [32, 18],
  iq4_xs: [256, 136],
  tq1_0: [256, 54],
  tq2_0: [256, 66],
  mxfp4: [32, 17],
  nvfp4: [64, 36],
  q1_0: [128, 18],
} as const satisfies Record<string, readonly [elements: number, bytes: number]>

export type RawBlock = keyof typeof rawBlocks

export type RawOnlyDType = keyof typeof rawBits

/** What a file's elements are. */
export type RawDType = WeightFormat | RawOnlyDType | RawBlock

export function isRawOnly(dtype: RawDType): dtype is RawOnlyDType {
  return Object.hasOwn(rawBits, dtype)
}

export function isRawBlock(dtype: RawDType): dtype is RawBlock {
  return Object.hasOwn(rawBlocks, dtype)
}

/** A tensor as its file has it: little-endian, row-major, of any dtype. */
export interface RawTensor {
  readonly name: string
  readonly file: string
  readonly dtype: RawDType
  /** Slowest dimension first. */
  readonly shape: readonly number[]
  readonly sizeInBytes: number
  /** Which of the stored rows is row `row`; left out, the same. `read` and `locate` know nothing of it. */
  storedRow?(row: number): number
  /** Fills `bytes` from byte `start` of the tensor on; default 0. */
  read(bytes: Uint8Array, start?: number): void
  /** Where its first byte lies in an open file; `null` where its bytes are in none as they are. Counts as reading it. */
  locate(): Pick<StoredRows, 'file' | 'fd' | 'position'> | null
}
