import { tidy } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { gatedActivation } from './gated-activation.ts'
import type { FusedGatedKind, GatedActivationKind } from './gated-activation.ts'
import { assertLinearShapes, linear } from './linear.ts'
import type { LinearAttrs } from './linear.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: those of `linear`. */
export const gatedLinearKernel = 'OctavoGatedLinear'

export interface GatedLinearAttrs extends LinearAttrs {
  readonly kind: FusedGatedKind
}

export interface GatedLinearOptions {
  readonly bias: Tensor1D | null // [2 * features]
  readonly kind: GatedActivationKind
}

/**
 * `gatedActivation(linear(x, weight, bias), kind)`, bit for bit, without the product in between: x `[n, inFeatures]`,
 * weight `[2 * features, inFeatures]`, whose first half of rows makes the gate, the second the up projection →
 * `[n, features]`.
 */
export function gatedLinear(x: Tensor2D, weight: PackedWeight, { bias, kind }: GatedLinearOptions): Tensor2D {
  assertLinearShapes('gatedLinear', x, weight, bias)
  assert(weight.rows % 2 === 0, `gatedLinear: ${weight.rows} rows are not two halves`)
  if (kind === 'relu' || !hasKernel(gatedLinearKernel)) return gatedLinearComposite(x, weight, { bias, kind })
  const attrs: GatedLinearAttrs = { weight, kind }
  return runOp<Tensor2D>(gatedLinearKernel, bias === null ? { x } : { x, bias }, attrs)
}

export function gatedLinearComposite(x: Tensor2D, weight: PackedWeight, { bias, kind }: GatedLinearOptions): Tensor2D {
  return tidy(() => gatedActivation(linear(x, weight, bias), kind))
}
