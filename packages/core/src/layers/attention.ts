import { reshape } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { UnsupportedModelError } from '../errors.ts'
import { kvWrite } from '../ops/kv-write.ts'
import { pagedAttention } from '../ops/paged-attention.ts'
import { assert } from '../util/assert.ts'
import type { ForwardContext } from './forward-context.ts'
import { createQkvLinear, createRowLinear, shareHeads } from './linear.ts'
import type { QkvLinearOptions } from './linear.ts'
import { createRmsNorm } from './norm.ts'
import type { Norm } from './norm.ts'
import type { RopeRows, RotaryEmbedding } from './rotary-embedding.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface QkNormOptions {
  /** One norm over each head, or one over all of a projection's features. */
  readonly over: 'head' | 'projection'
  readonly qPrefix: string
  readonly kPrefix: string
  readonly epsilon: number
  readonly hasUnitOffset: boolean
}

export interface AttentionOptions {
  /** Which layer of this stage's KV cache. */
  readonly layer: number
  readonly qkvPrefixes: QkvLinearOptions['prefixes']
  readonly outputPrefix: string
  readonly hiddenSize: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly hasQkvBias: boolean
  readonly hasOutputBias: boolean
  readonly qkNorm: QkNormOptions | null
  /** `null` for models with learned positions. */
  readonly rope: RotaryEmbedding | null
  readonly scale: number
  readonly slidingWindow: number | null
  readonly softcap: number | null
  /** Name of the tensor `[numHeads]` of sink logits. */
  readonly sinks: string | null
}

export interface Attention {
  /** x `[numTokens, hiddenSize]` → the same shape; writes this layer's keys and values first. `rows`: of this layer's rope. */
  forward(x: Tensor2D, context: ForwardContext, rows: RopeRows | null): Tensor2D
}

/** qkv → query and key norms → rope → KV cache → paged attention → output projection, over this rank's heads. */
export function createAttention(loader: WeightLoader, options: AttentionOptions): Attention {
  const { layer, headDim, rope, scale, slidingWindow, softcap, hiddenSize } = options
  const share = shareHeads(options, loader.communicator)
  const qkv = createQkvLinear(loader, { ...options, prefixes: options.qkvPrefixes, hasBias: options.hasQkvBias })
  const output = createRowLinear(loader, {
    prefix: options.outputPrefix,
    inFeatures: options.numHeads * headDim,
    outFeatures: hiddenSize,
    hasBias: options.hasOutputBias,
  })
  const norms = createQkNorms(loader, options)
  const sinks: Tensor1D | null =
    options.sinks === null
      ? null
      : loader.vector(options.sinks, options.numHeads, [
          { start: share.firstHead, end: share.firstHead + share.numHeads },
        ])
  return {
    forward(x, context, rows) {
      const { metadata, kv } = context
      const [q, k, value] = qkv.forwardParts(x, context)
      assert(q !== undefined && k !== undefined && value !== undefined, 'qkv has three parts')
      let query = norms?.query(q) ?? q
      let key = norms?.key(k) ?? k
      if (rope !== null && rows !== null) {
        query = rope.forward(query, rows)
        key = rope.forward(key, rows)
      }
      kvWrite(key, value, { kv, layer, slotMapping: metadata.slotMapping })
      const attended = pagedAttention(query, {
        kv,
        layer,
        metadata,
        numHeads: share.numHeads,
        scale,
        slidingWindow,
        softcap,
        sinks,
      })
      return output.forward(attended, context)
    },
  }
}

interface QkNorms {
  query(x: Tensor2D): Tensor2D
  key(x: Tensor2D): Tensor2D
}

function createQkNorms(
  loader: WeightLoader,
  { qkNorm, headDim, numHeads, numKvHeads }: AttentionOptions,
): QkNorms | null {
  if (qkNorm === null) return null
  const { over, qPrefix, kPrefix, epsilon, hasUnitOffset } = qkNorm
  if (over === 'projection' && loader.communicator.size > 1) {
    throw new UnsupportedModelError(
      'Norms over the whole query and key projection need all heads on one rank: tensor parallelism is not supported for this model.',
    )
  }
  const create = (prefix: string, heads: number): Norm =>
    createRmsNorm(loader, { prefix, features: over === 'head' ? headDim : heads * headDim, epsilon, hasUnitOffset })
  const query = create(qPrefix, numHeads)
  const key = create(kPrefix, numKvHeads)
  if (over === 'projection') return { query: (x) => query.forward(x), key: (x) => key.forward(x) }
  return { query: (x) => normHeads(x, query, headDim), key: (x) => normHeads(x, key, headDim) }
}

function normHeads(x: Tensor2D, norm: Norm, headDim: number): Tensor2D {
  const heads: Tensor2D = reshape(x, [-1, headDim]) // [n * numHeads, headDim]
  return reshape(norm.forward(heads), [x.shape[0], x.shape[1]])
}
