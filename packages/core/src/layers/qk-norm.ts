import { reshape, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { RowRange } from '../loading/weight-source.ts'
import { createRmsNorm } from './norm.ts'
import type { Norm } from './norm.ts'
import { shareHeads } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface QkNormOptions {
  /** One norm over each head, or one over all of a projection's features. */
  readonly over: 'head' | 'projection'
  readonly qPrefix: string
  readonly kPrefix: string
  readonly epsilon: number
  readonly hasUnitOffset: boolean
}

export interface HeadOptions {
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** The norms between the query and key projections and the rotation. */
export interface QkNorm {
  /** Of this rank's heads: query `[n, numHeads * headDim]`, key `[n, numKvHeads * headDim]` → the same shapes. */
  forward(query: Tensor2D, key: Tensor2D): { query: Tensor2D; key: Tensor2D }
}

export function createQkNorm(loader: WeightLoader, options: QkNormOptions & HeadOptions): QkNorm {
  const { over, headDim, numHeads, numKvHeads } = options
  if (over === 'projection' && loader.communicator.size > 1) return createSharedNorm(loader, options)
  const create = (prefix: string, heads: number): Norm =>
    createRmsNorm(loader, { ...options, prefix, features: over === 'head' ? headDim : heads * headDim })
  const [q, k] = [create(options.qPrefix, numHeads), create(options.kPrefix, numKvHeads)]
  if (over === 'projection') return { forward: (query, key) => ({ query: q.forward(query), key: k.forward(key) }) }
  return {
    forward: (query, key) => ({ query: normHeads(query, q, headDim), key: normHeads(key, k, headDim) }),
  }
}

function normHeads(x: Tensor2D, norm: Norm, headDim: number): Tensor2D {
  const heads: Tensor2D = reshape(x, [-1, headDim]) // [n * numHeads, headDim]
  return reshape(norm.forward(heads), [x.shape[0], x.shape[1]])
}

/**
 * Over features that lie on several ranks: the sums of squares of both projections are added up in one call. Computed on the
 * host, where the values go to reach the other ranks in any case.
 */
function createSharedNorm(loader: WeightLoader, options: QkNormOptions & HeadOptions): QkNorm {
  const { headDim, numHeads, numKvHeads, epsilon } = options
  const { communicator } = loader
  const share = shareHeads(options, communicator)
  const heads = (first: number, count: number): RowRange => ({ start: first * headDim, end: (first + count) * headDim })
  const q = createShardedNorm(loader, {
    ...options,
    prefix: options.qPrefix,
    features: numHeads * headDim,
    own: heads(share.firstHead, share.numHeads),
  })
  const k = createShardedNorm(loader, {
    ...options,
    prefix: options.kPrefix,
    features: numKvHeads * headDim,
    own: heads(share.firstKvHead, share.numKvHeads),
  })
  // Of the ranks that have the same key heads, the first counts them.
  const countsKeys = communicator.rank % Math.max(1, communicator.size / numKvHeads) === 0
  return {
    forward(query, key) {
      const [queries, keys] = [query.dataSync<'float32'>(), key.dataSync<'float32'>()]
      const n = query.shape[0]
      const squares = new Float32Array(2 * n)
      for (let token = 0; token < n; token++) {
        squares[2 * token] = sumOfSquares(queries, { row: token, numRows: n })
        if (countsKeys) squares[2 * token + 1] = sumOfSquares(keys, { row: token, numRows: n })
      }
      const sums = communicator.allReduce(tensor2d(squares, [n, 2])).dataSync<'float32'>()
      return {
        query: tensor2d(applyNorm(queries, { ...q, epsilon, sums: sums.filter((_, i) => i % 2 === 0) }), query.shape),
        key: tensor2d(applyNorm(keys, { ...k, epsilon, sums: sums.filter((_, i) => i % 2 === 1) }), key.shape),
      }
    },
  }
}

interface ShardedNorm {
  readonly weight: Float32Array // of this rank's features
  /** Of all ranks. */
  readonly features: number
}

function createShardedNorm(
  loader: WeightLoader,
  { prefix, features, own, hasUnitOffset }: QkNormOptions & { prefix: string; features: number; own: RowRange },
): ShardedNorm {
  const values = loader.hostVector(`${prefix}.weight`, features, [own])
  return { weight: hasUnitOffset ? values.map((value) => 1 + value) : values, features }
}

function sumOfSquares(values: Float32Array, { row, numRows }: { row: number; numRows: number }): number {
  const width = values.length / numRows
  let sum = 0
  for (let i = row * width; i < (row + 1) * width; i++) sum += values[i]! ** 2
  return sum
}

/** As `ops/rms-norm`, from each row's sum of squares over all ranks. */
function applyNorm(
  values: Float32Array,
  { weight, features, epsilon, sums }: ShardedNorm & { epsilon: number; sums: Float32Array },
): Float32Array {
  const normed = new Float32Array(values.length)
  sums.forEach((sum, row) => {
    const scale = 1 / Math.sqrt(sum / features + epsilon)
    const first = row * weight.length
    for (let i = 0; i < weight.length; i++) normed[first + i] = Math.fround(values[first + i]! * scale) * weight[i]!
  })
  return normed
}
