import { attentionKernel } from '@octavo/core/backend'
import type { AttentionAttrs } from '@octavo/core/backend'
import { matrixShape, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

export const attentionConfig = nativeKernel<AttentionAttrs>(attentionKernel, ({ inputs, attrs, backend }) => {
  const { numHeads, numKvHeads, slidingWindow, softcap } = attrs
  const [numTokens, width] = matrixShape(inputs.query)
  const out = backend.allocate(numTokens * width)
  backend.pool.attention(
    out,
    valuesOf(backend, inputs.query),
    valuesOf(backend, inputs.key),
    valuesOf(backend, inputs.value),
    attrs.queryStartLoc,
    attrs.keyStartLoc,
    numHeads,
    numKvHeads,
    width / numHeads,
    attrs.scale,
    attrs.isCausal,
    slidingWindow ?? 0,
    softcap ?? 0,
    optionalValuesOf(backend, inputs.sinks),
  )
  return backend.makeOutput2d([numTokens, width], out)
})
