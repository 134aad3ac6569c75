/** In float64 it leaves no fraction bits: adding and taking it away rounds to nearest, ties to even, up to 2^50. */
const noFraction = 1.5 * 2 ** 52

export function roundHalfEven(value: number): number {
  return value + noFraction - noFraction
}

const scratchFloat = new Float32Array(1)
const scratchBits = new Uint32Array(scratchFloat.buffer)

/** The nearest e2m1 (OCP MX: 0, 0.5, 1, 1.5, 2, 3, 4, 6), ties to the even code, larger ones to 6: its four bits. */
export function e2m1Code(value: number): number {
  const sign = value < 0 ? 8 : 0
  const size = Math.abs(value)
  if (size < 2) return sign | roundHalfEven(size * 2)
  if (size <= 3.5) return sign | (size <= 2.5 ? 4 : size < 3.5 ? 5 : 6)
  return sign | (size <= 5 ? 6 : 7)
}

/** The nearest e4m3 (OCP FP8: no infinities, 448 at most), ties to even, larger ones to 448: its eight bits. */
export function e4m3Code(value: number): number {
  const sign = value < 0 ? 128 : 0
  const size = Math.abs(value)
  if (size >= 448) return sign | 126
  if (size < 2 ** -6) return sign | roundHalfEven(size * 512)
  scratchFloat[0] = size
  const exponent = scratchBits[0]! >>> 23
  // A mantissa that is rounded up to 16 moves into the exponent, which is exactly the next code.
  return sign | ((exponent - 120) * 8 + roundHalfEven(size * 2 ** (130 - exponent)) - 8)
}
