import { linearKernel } from '../../../ops/linear.ts'
import type { LinearAttrs } from '../../../ops/linear.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'

export const linearConfig = tensorflowKernel<LinearAttrs>(linearKernel, ({ attrs, ops, input, optionalInput }) => {
  const x = ops.cast(input('x'), ops.device.computeDtype)
  return asTfWeight(attrs.weight).multiply(ops, x, optionalInput('bias'))
})
