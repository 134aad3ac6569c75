import { split, tidy } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { assertLinearShapes, linear } from './linear.ts'
import type { LinearAttrs } from './linear.ts'
import { hasKernel, runOp } from './op.ts'

/** Tensor inputs: those of `linear`; one output `[n, width]` per width. */
export const linearPartsKernel = 'OctavoLinearParts'

export interface LinearPartsAttrs extends LinearAttrs {
  readonly widths: readonly number[]
}

export interface LinearPartsOptions {
  readonly bias: Tensor1D | null // [sum of widths]
  readonly widths: readonly number[]
}

/**
 * The columns of `linear(x, weight, bias)`, bit for bit, cut into parts `[n, width]`, left to right: x `[n, inFeatures]`,
 * weight `[sum of widths, inFeatures]`.
 */
export function linearParts(x: Tensor2D, weight: PackedWeight, { bias, widths }: LinearPartsOptions): Tensor2D[] {
  assertLinearShapes('linearParts', x, weight, bias)
  const total = widths.reduce((sum, width) => sum + width, 0)
  assert(total === weight.rows, `linearParts: the weight has ${weight.rows} rows, the parts ${total}`)
  const attrs: LinearPartsAttrs = { weight, widths }
  if (!hasKernel(linearPartsKernel)) return linearPartsComposite(x, weight, { bias, widths })
  return runOp<Tensor2D[]>(linearPartsKernel, bias === null ? { x } : { x, bias }, attrs)
}

export function linearPartsComposite(
  x: Tensor2D,
  weight: PackedWeight,
  { bias, widths }: LinearPartsOptions,
): Tensor2D[] {
  return tidy(() => split(linear(x, weight, bias), [...widths], 1))
}
