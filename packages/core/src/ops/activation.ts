import { abs, add, div, exp, mul, neg, relu, sigmoid, sign, square, sub, tanh, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { unreachable } from '../util/assert.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor input: `x` `[n, features]`. */
export const activationKernel = 'OctavoActivation'

/**
 * `gelu` is the exact one (with erf), `gelu_tanh` its tanh approximation (Hendrycks and Gimpel 2016,
 * arXiv:1606.08415).
 */
export type ActivationKind = 'gelu' | 'gelu_tanh' | 'silu' | 'relu'

export interface ActivationAttrs {
  readonly kind: ActivationKind
}

/** Element by element: x `[n, features]` → the same shape. */
export function activation(x: Tensor2D, kind: ActivationKind): Tensor2D {
  const attrs: ActivationAttrs = { kind }
  return hasKernel(activationKernel) ? runOp<Tensor2D>(activationKernel, { x }, attrs) : activationComposite(x, kind)
}

export function activationComposite(x: Tensor2D, kind: ActivationKind): Tensor2D {
  switch (kind) {
    case 'silu':
      return tidy(() => mul<Tensor2D>(x, sigmoid(x)))
    case 'relu':
      return relu(x)
    case 'gelu':
      return tidy(() => mul<Tensor2D>(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1)))
    case 'gelu_tanh':
      return tidy(() => {
        const inner = mul(Math.sqrt(2 / Math.PI), add(x, mul(0.044715, mul(square(x), x))))
        return mul<Tensor2D>(mul(x, 0.5), add(tanh(inner), 1))
      })
    default:
      return unreachable(kind)
  }
}

/** Abramowitz and Stegun 7.1.26 (error below 1.5e-7); spelt out because not every tfjs backend has an Erf kernel. */
function erf(x: Tensor2D): Tensor2D {
  const magnitude = abs(x)
  const t = div<Tensor2D>(1, add(1, mul(0.3275911, magnitude)))
  const coefficients = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592]
  let polynomial: Tensor2D = mul(t, 0)
  for (const coefficient of coefficients) polynomial = mul(t, add(polynomial, coefficient))
  return mul(sign(x), sub(1, mul(polynomial, exp(neg(square(x))))))
}
