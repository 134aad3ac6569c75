import { concat, gather, slice, tensor1d, zeros } from '@tensorflow/tfjs-core'
import type { Rank, Tensor2D } from '@tensorflow/tfjs-core'
import type { RowRange } from '../loading/weight-source.ts'
import { assert } from '../util/assert.ts'
import type { Communicator } from './communicator.ts'
import { atRows } from './forward-context.ts'
import type { ForwardContext } from './forward-context.ts'
import { createColumnLinear, createReplicatedLinear } from './linear.ts'
import type { Linear } from './linear.ts'
import type { LoadedEmbedding } from './linear-method.ts'
import { shardRange } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface EmbeddingOptions {
  readonly prefix: string
  /** Rows: tokens, or positions. */
  readonly numEmbeddings: number
  readonly hiddenSize: number
}

/** A table of rows; every rank has a share of them, and all of the result. */
export interface Embedding {
  readonly loaded: LoadedEmbedding // this rank's rows
  /** ids `[n]` → `[n, hiddenSize]`. */
  forward(ids: Int32Array, context: ForwardContext): Tensor2D
  /** The table as a head: `[n, hiddenSize]` → `[n, numEmbeddings]`. */
  logits(hidden: Tensor2D, context: ForwardContext): Tensor2D
}

export function createEmbedding(loader: WeightLoader, options: EmbeddingOptions): Embedding {
  const { prefix, numEmbeddings, hiddenSize } = options
  const { communicator } = loader
  const share = shareRows(numEmbeddings, communicator)
  const loaded = loader.linearMethods(prefix, 'embedding').loadEmbedding(loader, {
    names: [`${prefix}.weight`],
    expectedShape: [numEmbeddings, hiddenSize],
    ...(share && { rows: [share] }),
  })
  const apply = (hidden: Tensor2D, context: ForwardContext): Tensor2D => loaded.apply(hidden, null, context)
  if (share === null) return { loaded, forward: (ids, context) => loaded.embed(ids, context), logits: apply }
  return {
    loaded,
    forward: (ids, context) => communicator.allReduce(embedOwn(ids, { loaded, share, ...options }, context)),
    logits: (hidden, context) => gatherLogits(apply(hidden, context), numEmbeddings, communicator),
  }
}

/** A tied head: the embedding's own weight, `[n, hiddenSize]` → `[n, vocabSize]`. */
export function createTiedLmHead({ logits }: Embedding): Linear {
  return { forward: logits }
}

/** Each rank computes the logits of its share of the vocabulary, and gets all. */
export function createLmHead(loader: WeightLoader, { prefix, numEmbeddings, hiddenSize }: EmbeddingOptions): Linear {
  const { communicator } = loader
  const options = { prefix, inFeatures: hiddenSize, outFeatures: numEmbeddings, hasBias: false, role: 'head' } as const
  const share = shareRows(numEmbeddings, communicator)
  if (share === null) return createReplicatedLinear(loader, options)
  const shard = createColumnLinear(loader, { ...options, share })
  return { forward: (hidden, context) => gatherLogits(shard.forward(hidden, context), numEmbeddings, communicator) }
}

/**
 * This rank's rows; only the last rank may have fewer than the others, so that what it lacks is at the end of what is
 * gathered. `null`: all of them, on one rank or where that would leave ranks without any.
 */
function shareRows(numRows: number, communicator: Communicator): RowRange | null {
  const { size } = communicator
  const unit = Math.ceil(numRows / size)
  return size === 1 || Math.ceil(numRows / unit) < size ? null : shardRange(numRows, communicator, { name: '', unit })
}

interface OwnRows extends EmbeddingOptions {
  readonly loaded: LoadedEmbedding
  readonly share: RowRange
}

/** `[n, hiddenSize]`: zeros where the row is another rank's. */
function embedOwn(ids: Int32Array, { loaded, share, ...table }: OwnRows, context: ForwardContext): Tensor2D {
  const { numEmbeddings, hiddenSize, prefix } = table
  for (const id of ids) assert(id >= 0 && id < numEmbeddings, `${prefix}: row ${id} of ${numEmbeddings}`)
  const own = Int32Array.from(ids.keys()).filter((i) => ids[i]! >= share.start && ids[i]! < share.end)
  if (own.length === 0) return zeros([ids.length, hiddenSize])
  const rows = loaded.embed(
    own.map((i) => ids[i]! - share.start),
    atRows(context, own),
  )
  if (own.length === ids.length) return rows
  const places = new Int32Array(ids.length).fill(own.length) // of the row of zeros
  own.forEach((i, row) => (places[i] = row))
  return gather(concat([rows, zeros<Rank.R2>([1, hiddenSize])], 0), tensor1d(places, 'int32'))
}

function gatherLogits(shard: Tensor2D, numColumns: number, communicator: Communicator): Tensor2D {
  const [n, width] = shard.shape
  const missing = Math.ceil(numColumns / communicator.size) - width
  const filled = missing === 0 ? shard : concat([shard, zeros<Rank.R2>([n, missing])], 1)
  const all: Tensor2D = communicator.allGather(filled, 1)
  return all.shape[1] === numColumns ? all : slice(all, [0, 0], [n, numColumns])
}
