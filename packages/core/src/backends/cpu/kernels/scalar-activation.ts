import type { ActivationKind } from '../../../ops/activation.ts'

/** One element of an activation, in float64. */
export const scalarActivation: Readonly<Record<ActivationKind, (x: number) => number>> = {
  silu: (x) => x * sigmoid(x),
  relu: (x) => (x > 0 ? x : 0),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
}

export function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}

/** Abramowitz and Stegun 7.1.26: absolute error below 1.5e-7. */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * Math.abs(x))
  const polynomial = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
  return Math.sign(x) * (1 - polynomial * Math.exp(-x * x))
}
