import { pagedAttentionKernel } from '@octavo/core/backend'
import type { PagedAttentionAttrs } from '@octavo/core/backend'
import { asNativeKv, nativeKernel, optionalValuesOf, valuesOf } from '../native-kernel.ts'

export const pagedAttentionConfig = nativeKernel<PagedAttentionAttrs>(
  pagedAttentionKernel,
  ({ inputs, attrs, backend }) => {
    const { metadata, numHeads, slidingWindow, softcap } = attrs
    const { cache, layout } = asNativeKv(attrs.kv)
    const { numTokens } = metadata
    const out = backend.allocate(numTokens * numHeads * layout.headDim)
    backend.pool.pagedAttention(
      cache,
      attrs.layer,
      out,
      valuesOf(backend, inputs.query),
      metadata.queryStartLoc,
      metadata.seqLens,
      metadata.blockTables,
      layout.blockSize,
      numTokens,
      numHeads,
      layout.headDim,
      attrs.scale,
      slidingWindow ?? 0,
      softcap ?? 0,
      optionalValuesOf(backend, inputs.sinks),
    )
    return backend.makeOutput2d([numTokens, numHeads * layout.headDim], out)
  },
)
