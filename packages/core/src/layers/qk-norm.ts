import { add, concat, div, mul, reshape, rsqrt, slice, square, sum, tidy, zeros } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
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

/** Over features that lie on several ranks: the sums of squares of both projections are added up in one call. */
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
    forward: (query, key) =>
      tidy(() => {
        const n = query.shape[0]
        const keySquares: Tensor2D = countsKeys ? sumOfSquares(key) : zeros([n, 1])
        const squares: Tensor2D = communicator.allReduce(concat([sumOfSquares(query), keySquares], 1)) // [n, 2]
        return {
          query: applyNorm(query, slice(squares, [0, 0], [n, 1]), { ...q, epsilon }),
          key: applyNorm(key, slice(squares, [0, 1], [n, 1]), { ...k, epsilon }),
        }
      }),
  }
}

interface ShardedNorm {
  readonly weight: Tensor1D
  /** Of all ranks. */
  readonly features: number
}

function createShardedNorm(
  loader: WeightLoader,
  { prefix, features, own, hasUnitOffset }: QkNormOptions & { prefix: string; features: number; own: RowRange },
): ShardedNorm {
  const values = loader.hostVector(`${prefix}.weight`, features, [own])
  return { weight: loader.tensor(hasUnitOffset ? values.map((value) => 1 + value) : values), features }
}

function sumOfSquares(x: Tensor2D): Tensor2D {
  return sum(square(x), 1, true)
}

/** As `ops/rms-norm`, from sums of squares `[n, 1]`. */
function applyNorm(
  x: Tensor2D,
  squares: Tensor2D,
  { weight, features, epsilon }: ShardedNorm & { epsilon: number },
): Tensor2D {
  return mul(mul<Tensor2D>(x, rsqrt(add(div(squares, features), epsilon))), weight)
}
