import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { ForwardContext } from './forward-context.ts'
import { createColumnLinear, createReplicatedLinear } from './linear.ts'
import type { Linear } from './linear.ts'
import type { LoadedEmbedding } from './linear-method.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface EmbeddingOptions {
  readonly prefix: string
  /** Rows: tokens, or positions. */
  readonly numEmbeddings: number
  readonly hiddenSize: number
}

/** A table of rows, whole on every rank. */
export interface Embedding {
  readonly loaded: LoadedEmbedding // [numEmbeddings, hiddenSize]
  /** ids `[n]` → `[n, hiddenSize]`. */
  forward(ids: Int32Array, context: ForwardContext): Tensor2D
}

export function createEmbedding(
  loader: WeightLoader,
  { prefix, numEmbeddings, hiddenSize }: EmbeddingOptions,
): Embedding {
  const loaded = loader
    .linearMethods(prefix, 'embedding')
    .loadEmbedding(loader, { names: [`${prefix}.weight`], expectedShape: [numEmbeddings, hiddenSize] })
  return { loaded, forward: (ids, context) => loaded.embed(ids, context) }
}

/** A tied head: the embedding's own weight, `[n, hiddenSize]` → `[n, vocabSize]`. */
export function createTiedLmHead({ loaded }: Embedding): Linear {
  return { forward: (hidden, context) => loaded.apply(hidden, null, context) }
}

/** The vocabulary is split over the ranks where it divides evenly, and every rank gets all logits. */
export function createLmHead(loader: WeightLoader, { prefix, numEmbeddings, hiddenSize }: EmbeddingOptions): Linear {
  const { communicator } = loader
  const options = { prefix, inFeatures: hiddenSize, outFeatures: numEmbeddings, hasBias: false, role: 'head' } as const
  if (communicator.size === 1 || numEmbeddings % communicator.size !== 0) return createReplicatedLinear(loader, options)
  const shard = createColumnLinear(loader, options)
  return { forward: (hidden, context) => communicator.allGather(shard.forward(hidden, context), 1) }
}
