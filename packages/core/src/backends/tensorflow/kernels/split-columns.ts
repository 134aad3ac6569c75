import { splitColumnsKernel } from '../../../ops/split-columns.ts'
import type { SplitColumnsAttrs } from '../../../ops/split-columns.ts'
import { tensorflowKernel } from '../tensorflow-kernel.ts'
import { intAttr } from '../tf-op.ts'

export const splitColumnsConfig = tensorflowKernel<SplitColumnsAttrs>(splitColumnsKernel, ({ attrs, ops, input }) => {
  const { widths } = attrs
  const numOutputs = widths.length
  const inputs = [input('x'), ops.hostInts(widths), ops.hostInt(1)]
  return ops.runMany('SplitV', inputs, { numOutputs, attrs: [intAttr('num_split', numOutputs)] })
})
