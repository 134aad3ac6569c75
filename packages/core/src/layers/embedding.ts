import type { Tensor2D } from '@tensorflow/tfjs-core'
import { embedding } from '../ops/embedding.ts'
import { linear } from '../ops/linear.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
import { createColumnLinear, createReplicatedLinear } from './linear.ts'
import type { Linear } from './linear.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface EmbeddingOptions {
  readonly prefix: string
  /** Rows: tokens, or positions. */
  readonly numEmbeddings: number
  readonly hiddenSize: number
}

/** A table of rows, whole on every rank. */
export interface Embedding {
  readonly weight: PackedWeight // [numEmbeddings, hiddenSize]
  /** ids `[n]` → `[n, hiddenSize]`. */
  forward(ids: Int32Array): Tensor2D
}

export function createEmbedding(
  loader: WeightLoader,
  { prefix, numEmbeddings, hiddenSize }: EmbeddingOptions,
): Embedding {
  const weight = loader.matrix({ names: [`${prefix}.weight`], expectedShape: [numEmbeddings, hiddenSize] })
  return { weight, forward: (ids) => embedding(ids, weight) }
}

/** A tied head: the embedding's own weight, `[n, hiddenSize]` → `[n, vocabSize]`. */
export function createTiedLmHead({ weight }: Embedding): Linear {
  return { forward: (hidden) => linear(hidden, weight, null) }
}

/** The vocabulary is split over the ranks where it divides evenly, and every rank gets all logits. */
export function createLmHead(loader: WeightLoader, { prefix, numEmbeddings, hiddenSize }: EmbeddingOptions): Linear {
  const { communicator } = loader
  const options = { prefix, inFeatures: hiddenSize, outFeatures: numEmbeddings, hasBias: false }
  if (communicator.size === 1 || numEmbeddings % communicator.size !== 0) return createReplicatedLinear(loader, options)
  const shard = createColumnLinear(loader, options)
  return { forward: (hidden) => communicator.allGather(shard.forward(hidden), 1) }
}
