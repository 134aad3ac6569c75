import { add, clipByValue, minimum, mul, sigmoid, slice, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'
import { activationComposite } from './activation.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor input: `gateUp` `[n, 2 * features]`. */
export const gatedActivationKernel = 'OctavoGatedActivation'

/**
 * What kernels compute. `swiglu_oss` is gpt-oss's clamped form: `(up + 1) * gate * sigmoid(1.702 * gate)` with gate <= 7
 * and |up| <= 7.
 */
export type FusedGatedKind = 'silu' | 'gelu' | 'gelu_tanh' | 'swiglu_oss'

/** `relu` is rare in gated layers: it is composed of other ops everywhere. */
export type GatedActivationKind = FusedGatedKind | 'relu'

export interface GatedActivationAttrs {
  readonly kind: FusedGatedKind
}

/**
 * Gated linear unit (Shazeer 2020, arXiv:2002.05202): `act(gate) * up`. The first half of the columns of gateUp
 * `[n, 2 * features]` is the gate, the second the up projection → `[n, features]`.
 */
export function gatedActivation(gateUp: Tensor2D, kind: GatedActivationKind): Tensor2D {
  assert(gateUp.shape[1] % 2 === 0, `gatedActivation: ${gateUp.shape[1]} columns are not two halves`)
  if (kind === 'relu' || !hasKernel(gatedActivationKernel)) return gatedActivationComposite(gateUp, kind)
  const attrs: GatedActivationAttrs = { kind }
  return runOp<Tensor2D>(gatedActivationKernel, { gateUp }, attrs)
}

export function gatedActivationComposite(gateUp: Tensor2D, kind: GatedActivationKind): Tensor2D {
  return tidy(() => {
    const [n, columns] = gateUp.shape
    const gate = slice(gateUp, [0, 0], [n, columns / 2])
    const up = slice(gateUp, [0, columns / 2], [n, columns / 2])
    if (kind !== 'swiglu_oss') return mul<Tensor2D>(activationComposite(gate, kind), up)
    const clampedGate = minimum<Tensor2D>(gate, 7)
    const clampedUp = clipByValue(up, -7, 7)
    return mul<Tensor2D>(mul(add(clampedUp, 1), clampedGate), sigmoid(mul(clampedGate, 1.702)))
  })
}
