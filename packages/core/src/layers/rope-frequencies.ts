import type { RopeConfig, RopeScaling } from '../config/rope-config.ts'
import { unreachable } from '../util/assert.ts'

export interface RopeFrequencies {
  /** Radians per position, `[rotaryDim / 2]`. */
  readonly inverse: Float32Array
  /** Cosines and sines are multiplied by it. */
  readonly attentionFactor: number
}

/**
 * The angles that each pair of dimensions turns by per position, for a sequence that is long (only LongRoPE cares) or
 * not. Rounded to float32 at the steps where transformers (`modeling_rope_utils.py`) rounds: at position 100,000 an
 * angle differs by 0.006 between frequencies that differ in the last float32 bit.
 */
export function ropeFrequencies({ theta, rotaryDim, scaling }: RopeConfig, isLong: boolean): RopeFrequencies {
  const powers = Float32Array.from({ length: rotaryDim / 2 }, (_, i) => theta ** Math.fround((2 * i) / rotaryDim))
  const plain = powers.map((power) => 1 / power)
  switch (scaling.type) {
    case 'default':
      return { inverse: plain, attentionFactor: 1 }
    case 'linear':
      return { inverse: plain.map((value) => value / scaling.factor), attentionFactor: 1 }
    case 'llama3':
      return { inverse: plain.map((value) => llama3Frequency(value, scaling)), attentionFactor: 1 }
    case 'yarn':
      return {
        inverse: yarnFrequencies(powers, { theta, rotaryDim }, scaling),
        attentionFactor: scaling.attentionFactor,
      }
    case 'longrope': {
      const factors = isLong ? scaling.longFactors : scaling.shortFactors
      return {
        inverse: powers.map((power, i) => 1 / Math.fround(Math.fround(factors[i] ?? 1) * power)),
        attentionFactor: scaling.attentionFactor,
      }
    }
    default:
      return unreachable(scaling)
  }
}

function llama3Frequency(frequency: number, scaling: Extract<RopeScaling, { type: 'llama3' }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositions } = scaling
  const wavelength = Math.fround(Math.fround(2 * Math.PI) / frequency)
  if (wavelength > originalMaxPositions / lowFreqFactor) return frequency / factor
  if (wavelength < originalMaxPositions / highFreqFactor) return frequency
  const smooth = (originalMaxPositions / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return ((1 - smooth) * frequency) / factor + smooth * frequency
}

function yarnFrequencies(
  powers: Float32Array,
  { theta, rotaryDim }: { theta: number; rotaryDim: number },
  scaling: Extract<RopeScaling, { type: 'yarn' }>,
): Float32Array {
  const { factor, betaFast, betaSlow, truncate, originalMaxPositions } = scaling
  // The dimension whose angle makes this many full turns over the original context.
  const dimension = (turns: number): number =>
    (rotaryDim * Math.log(originalMaxPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const low = Math.max(truncate ? Math.floor(dimension(betaFast)) : dimension(betaFast), 0)
  let high = Math.min(truncate ? Math.ceil(dimension(betaSlow)) : dimension(betaSlow), rotaryDim - 1)
  if (low === high) high += 0.001
  return powers.map((power, i) => {
    const ramp = Math.fround(Math.min(1, Math.max(0, (i - low) / (high - low))))
    const kept = Math.fround(1 - ramp)
    return Math.fround(1 / Math.fround(factor * power)) * Math.fround(1 - kept) + Math.fround(1 / power) * kept
  })
}
