import { embeddingKernel } from '@octavo/core/backend'
import type { EmbeddingAttrs } from '@octavo/core/backend'
import { asNativeWeight, nativeKernel } from '../native-kernel.ts'

export const embeddingConfig = nativeKernel<EmbeddingAttrs>(embeddingKernel, ({ attrs, backend }) => {
  const { ids, weight } = attrs
  const out = backend.allocate(ids.length * weight.cols)
  asNativeWeight(weight).readRows(ids, out)
  return backend.makeOutput2d([ids.length, weight.cols], out)
})
