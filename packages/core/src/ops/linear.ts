import { add, customGrad, matMul, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { assert } from '../util/assert.ts'
import { hasKernel, isTapeOn, runOp } from './op.ts'

export const linearKernel = 'OctavoLinear'

/** Tensor inputs: `x` `[n, cols]` and, where the layer has one, `bias` `[rows]`. */
export interface LinearAttrs {
  readonly weight: PackedWeight
}

/**
 * `x @ weight^T + bias`: x `[n, inFeatures]`, weight `[outFeatures, inFeatures]`, bias `[outFeatures]` →
 * `[n, outFeatures]`.
 *
 * Has gradients with respect to x and bias; a packed weight is a constant. A weight to be trained is a `tf.variable` in a
 * `LinearMethod` that applies `tf.matMul`.
 */
export function linear(x: Tensor2D, weight: PackedWeight, bias: Tensor1D | null): Tensor2D {
  assertLinearShapes('linear', x, weight, bias)
  const attrs: LinearAttrs = { weight }
  if (!hasKernel(linearKernel)) return linearComposite(x, weight, bias)
  return runOp<Tensor2D>(linearKernel, bias === null ? { x } : { x, bias }, attrs)
}

export function linearComposite(x: Tensor2D, weight: PackedWeight, bias: Tensor1D | null): Tensor2D {
  return tidy(() => {
    const product = multiply(x, weight)
    return bias === null ? product : add<Tensor2D>(product, bias)
  })
}

/** The gradient reads the weight again: a tape that kept it would hold every weight of a model in float32. */
function multiply(x: Tensor2D, weight: PackedWeight): Tensor2D {
  const forward = (): Tensor2D => matMul(x, readWeight(weight), false, true)
  if (!isTapeOn()) return forward()
  return customGrad<Tensor2D>(() => ({
    value: forward(),
    gradFunc: (dOut: Tensor) => tidy(() => matMul<Tensor2D>(dOut, readWeight(weight))),
  }))(x)
}

export function assertLinearShapes(op: string, x: Tensor2D, weight: PackedWeight, bias: Tensor1D | null): void {
  assert(x.shape[1] === weight.cols, `${op}: x has ${x.shape[1]} features, the weight takes ${weight.cols}`)
  assert(bias === null || bias.shape[0] === weight.rows, `${op}: bias does not have ${weight.rows} elements`)
}

/** The whole matrix as a float32 tensor `[rows, cols]`, for composites. */
export function readWeight(weight: PackedWeight): Tensor2D {
  const { rows, cols } = weight
  const values = new Float32Array(rows * cols)
  for (let row = 0; row < rows; row++) weight.readRow(row, values.subarray(row * cols, (row + 1) * cols))
  return tensor2d(values, [rows, cols])
}
