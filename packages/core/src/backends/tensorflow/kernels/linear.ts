import { linearKernel } from '../../../ops/linear.ts'
import type { LinearAttrs } from '../../../ops/linear.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'

export const linearConfig = tensorflowKernel<LinearAttrs>(linearKernel, ({ attrs, ops, input, optionalInput }) => {
  const product = asTfWeight(attrs.weight).multiply(ops, ops.cast(input('x'), ops.device.computeDtype))
  const bias = optionalInput('bias')
  return bias === null ? product : ops.run('AddV2', [product, ops.cast(bias, product.dtype)])
})
