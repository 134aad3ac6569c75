// 16-bit floats ↔ float32.

let float16Values: Float32Array | null = null

/** Every float16 as float32, indexed by its 16 bits: 256 KiB, built on first use, read-only. */
export function float16Table(): Float32Array {
  if (float16Values !== null) return float16Values
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) table[bits] = float16ToFloat32(bits)
  float16Values = table
  return table
}

export function float16ToFloat32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

const scratchFloat = new Float32Array(1)
const scratchBits = new Uint32Array(scratchFloat.buffer)

/** Rounds to nearest, ties to even; beyond 65504 (after rounding) gives infinity. Returns the 16 bits. */
export function float32ToFloat16(value: number): number {
  scratchFloat[0] = value
  const bits = scratchBits[0]!
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 255) - 112
  const mantissa = bits & 0x7fffff
  if (exponent === 143) return sign | 0x7c00 | (mantissa === 0 ? 0 : 0x200 | (mantissa >>> 13))
  if (exponent >= 31) return sign | 0x7c00
  if (exponent < -10) return sign
  const isSubnormal = exponent <= 0
  const significand = isSubnormal ? mantissa | 0x800000 : mantissa
  const shift = isSubnormal ? 14 - exponent : 13
  const truncated = (isSubnormal ? 0 : exponent << 10) | (significand >>> shift)
  const rest = significand & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  // A carry out of the mantissa moves into the exponent, which is exactly the next float16.
  return sign | (truncated + (rest > half || (rest === half && (truncated & 1) === 1) ? 1 : 0))
}

/** Rounds to nearest, ties to even; NaN stays NaN. Returns the 16 bits. */
export function float32ToBfloat16(value: number): number {
  scratchFloat[0] = value
  const bits = scratchBits[0]!
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}
