/** `rope_scaling` of a Llama 3.1 config. */
export interface Llama3RopeScaling {
  readonly rope_type: 'llama3'
  readonly factor: number
  readonly low_freq_factor: number
  readonly high_freq_factor: number
  readonly original_max_position_embeddings: number
}

/** All published checkpoints have these; scaling both and the original length by one number would change nothing. */
const lowFreqFactor = 1
const highFreqFactor = 4

/**
 * llama.cpp keeps Llama 3.1's rope scaling only as its result: one divisor per rotary frequency. Finds the parameters that
 * give these divisors (the formula of transformers' `_compute_llama3_parameters`), or `null` where none do.
 */
export function llama3RopeScaling(
  factors: Float32Array,
  rope: { ropeTheta: number; rotaryDim: number; originalLength: number | null },
): Llama3RopeScaling | null {
  const { ropeTheta, rotaryDim } = rope
  if (factors.length !== rotaryDim / 2) return null
  const wavelengths = Array.from(factors, (_, i) => 2 * Math.PI * ropeTheta ** ((2 * i) / rotaryDim))
  const factor = Math.fround(factors.reduce((a, b) => Math.max(a, b), 1))
  for (const originalLength of candidateLengths(factors, wavelengths, { factor, known: rope.originalLength })) {
    const matches = factors.every((value, i) => {
      const expected = llama3Divisor(wavelengths[i] ?? 0, factor, originalLength)
      return Math.abs(value - expected) <= 1e-4 * expected
    })
    if (!matches) continue
    return {
      rope_type: 'llama3',
      factor,
      low_freq_factor: lowFreqFactor,
      high_freq_factor: highFreqFactor,
      original_max_position_embeddings: originalLength,
    }
  }
  return null
}

function llama3Divisor(wavelength: number, factor: number, originalLength: number): number {
  if (wavelength < originalLength / highFreqFactor) return 1
  if (wavelength > originalLength / lowFreqFactor) return factor
  const smooth = (originalLength / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return 1 / ((1 - smooth) / factor + smooth)
}

/** The length stated or usual, and what each divisor between the two plateaus implies. */
function* candidateLengths(
  factors: Float32Array,
  wavelengths: readonly number[],
  options: { factor: number; known: number | null },
): Generator<number> {
  if (options.known !== null) yield options.known
  yield 8192
  for (const [i, value] of factors.entries()) {
    if (value <= 1.001 || value >= options.factor * 0.999) continue
    const smooth = (1 / value - 1 / options.factor) / (1 - 1 / options.factor)
    yield Math.round((wavelengths[i] ?? 0) * (lowFreqFactor + smooth * (highFreqFactor - lowFreqFactor)))
  }
  // No divisor in between: any length that puts the border between the plateaus where it is.
  const lastUnscaled = factors.lastIndexOf(1)
  const next = wavelengths[lastUnscaled + 1]
  if (next !== undefined) yield Math.round(Math.sqrt((wavelengths[lastUnscaled] ?? 1) * highFreqFactor * next))
}
