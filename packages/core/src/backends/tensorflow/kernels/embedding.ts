import { embeddingKernel } from '../../../ops/embedding.ts'
import type { EmbeddingAttrs } from '../../../ops/embedding.ts'
import { asTfWeight, tensorflowKernel } from '../tensorflow-kernel.ts'

export const embeddingConfig = tensorflowKernel<EmbeddingAttrs>(embeddingKernel, ({ attrs, ops }) =>
  asTfWeight(attrs.weight).lookUp(ops, ops.deviceInts(attrs.ids)),
)
