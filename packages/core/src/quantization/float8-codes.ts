import type { RawDType } from '../loading/raw-tensor.ts'
import { codeValues, type Codebook } from '../tensor/grouped-format.ts'

/** Floats of eight bits: names, and how codes of each are read. */
const codebooks = {
  float8_e4m3: 'e4m3',
  float8_e5m2: table({ exponentBits: 5, bias: 15, isFnuz: false }),
  float8_e4m3fnuz: table({ exponentBits: 4, bias: 8, isFnuz: true }),
  float8_e5m2fnuz: table({ exponentBits: 5, bias: 16, isFnuz: true }),
} satisfies Partial<Record<RawDType, Codebook>>

export type Float8DType = keyof typeof codebooks

export function isFloat8(dtype: RawDType): dtype is Float8DType {
  return Object.hasOwn(codebooks, dtype)
}

export function float8Codebook(dtype: Float8DType): Codebook {
  return codebooks[dtype]
}

interface Float8 {
  readonly exponentBits: number
  readonly bias: number
  /** "Finite, NaN, unsigned zero" (arXiv:2206.02915): -0 stands for NaN, and the largest exponent for numbers. */
  readonly isFnuz: boolean
}

function table({ exponentBits, bias, isFnuz }: Float8): number[] {
  const mantissas = 2 ** (7 - exponentBits)
  return Array.from({ length: 256 }, (_, code) => {
    const sign = code >= 128 ? -1 : 1
    const magnitude = code % 128
    const exponent = Math.floor(magnitude / mantissas)
    const fraction = (magnitude % mantissas) / mantissas
    if (isFnuz && code === 128) return NaN
    if (!isFnuz && exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN
    return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias))
  })
}

/** What scales of one byte stand for: 256 values, NaN where a scale can't be that. */
export type ByteScales = Float32Array

/** OCP MX's e8m0: powers of two, exact in bfloat16. */
export const e8m0Scales: ByteScales = Float32Array.from({ length: 256 }, (_, code) =>
  code === 255 ? NaN : 2 ** (code - 127),
)

/** NVFP4's e4m3, each made by `scale` into what codes are multiplied with. */
export function e4m3Scales(scale: (value: number) => number): ByteScales {
  return codeValues({ bits: 8, codebook: 'e4m3', hasZeros: false }).map(scale)
}
