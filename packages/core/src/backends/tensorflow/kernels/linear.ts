import { linearKernel } from '../../../ops/linear.ts'
import type { LinearAttrs } from '../../../ops/linear.ts'
import { linearPartsKernel } from '../../../ops/linear-parts.ts'
import type { LinearPartsAttrs } from '../../../ops/linear-parts.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'
import type { TensorflowKernelCall } from '../tensorflow-kernel.ts'
import { intAttr } from '../tf-op.ts'

export const linearConfig = tensorflowKernel<LinearAttrs>(linearKernel, multiply)

/** One product and one split. */
export const linearPartsConfig = tensorflowKernel<LinearPartsAttrs>(linearPartsKernel, (call) => {
  const { ops, attrs } = call
  const numOutputs = attrs.widths.length
  const inputs = [multiply(call), ops.hostInts(attrs.widths), ops.hostInt(1)]
  return ops.runMany('SplitV', inputs, { numOutputs, attrs: [intAttr('num_split', numOutputs)] })
})

function multiply({ attrs, ops, input, optionalInput }: TensorflowKernelCall<LinearAttrs>): TfeTensor {
  const x = ops.cast(input('x'), ops.device.computeDtype)
  return asTfWeight(attrs.weight).multiply(ops, x, optionalInput('bias'))
}
