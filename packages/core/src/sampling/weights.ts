/**
 * The weights that tokens are drawn by: `exp((logit - largest) / temperature)` in whole units of 2^-31, so that sums are exact in
 * any order. Only additions and products of float64 values, each rounded once: whoever computes them in this order gets the
 * same weights, with vector instructions as well as here.
 */

/** The largest token's weight. */
export const weightUnit = 2 ** 31

/** 2^f for |f| <= 0.5 is 1 + c1 f + c2 f^2 + …, to 5e-11 (a least-squares fit of the relative error, reweighted until even). */
const c1 = 0.6931471807045334
const c2 = 0.24022651066563808
const c3 = 0.055504103659891724
const c4 = 0.00961803813161955
const c5 = 0.0013333935056064575
const c6 = 0.00015466756469245134
const c7 = 0.000015196156758059893

/** Added and taken away again, it rounds to a whole number, ties to even: below 2^51, and below 2^52 without a sign. */
const roundSigned = 1.5 * 2 ** 52
const roundPositive = 2 ** 52

/** Below 2^-40 of the largest a weight is 0 units. */
const lowestExponent = -40

/** `powers[-n]` = 2^n * weightUnit. */
const powers = Float64Array.from({ length: 1 - lowestExponent }, (_, i) => 2 ** -i * weightUnit)

/** What `logit - largest` is multiplied by to give the exponent of 2. */
export function exponentScale(temperature: number): number {
  return Math.LOG2E / temperature
}

/** A token that is less likely than `minP` times the most likely one lies further than this below its logit; -Infinity = off. */
export function minPOffset(minP: number, temperature: number): number {
  return minP > 0 ? temperature * Math.log(minP) : -Infinity
}

/** Weights of the logits that are at least `threshold`, 0 for the others and for NaN. `largest` must be finite. */
export function computeWeights(
  logits: Float32Array,
  { largest, scale, threshold }: { largest: number; scale: number; threshold: number },
): Uint32Array {
  const weights = new Uint32Array(logits.length)
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id]!
    if (!(logit >= threshold)) continue
    const exponent = (logit - largest) * scale
    if (!(exponent > lowestExponent)) continue
    const whole = exponent + roundSigned - roundSigned
    const f = exponent - whole
    const p = ((((((c7 * f + c6) * f + c5) * f + c4) * f + c3) * f + c2) * f + c1) * f + 1
    weights[id] = p * powers[-whole]! + roundPositive - roundPositive
  }
  return weights
}
