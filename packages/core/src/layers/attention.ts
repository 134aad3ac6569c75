import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { attention } from '../ops/attention.ts'
import { kvWrite } from '../ops/kv-write.ts'
import { pagedAttention } from '../ops/paged-attention.ts'
import { assert } from '../util/assert.ts'
import type { ForwardContext } from './forward-context.ts'
import { createQkvLinear, createRowLinear } from './linear.ts'
import type { QkvLinearOptions } from './linear.ts'
import { createQkNorm } from './qk-norm.ts'
import type { QkNormOptions } from './qk-norm.ts'
import type { RopeRows, RotaryEmbedding } from './rotary-embedding.ts'
import { shareHeads } from './shard.ts'
import type { WeightLoader } from './weight-loader.ts'

export interface AttentionOptions {
  /** Which layer of this stage's KV cache; `null` in encoders: all tokens of a step see each other, and nothing is kept. */
  readonly layer: number | null
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
  /** x `[numTokens, hiddenSize]` → the same shape; writes this layer's keys and values first, where it keeps them. `rows`: of this layer's rope. */
  forward(x: Tensor2D, context: ForwardContext, rows: RopeRows | null): Tensor2D
}

/** qkv → query and key norms → rope → KV cache → attention → output projection, over this rank's heads. */
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
  const norm = options.qkNorm === null ? null : createQkNorm(loader, { ...options, ...options.qkNorm })
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
      let { query, key } = norm?.forward(q, k) ?? { query: q, key: k }
      if (rope !== null && rows !== null) {
        query = rope.forward(query, rows)
        key = rope.forward(key, rows)
      }
      const { numHeads, numKvHeads } = share
      const attrs = { numHeads, scale, slidingWindow, softcap }
      if (layer === null) {
        const { queryStartLoc } = metadata
        const starts = { queryStartLoc, keyStartLoc: queryStartLoc, numKvHeads, isCausal: false }
        return output.forward(attention({ query, key, value, sinks }, { ...attrs, ...starts }), context)
      }
      kvWrite(key, value, { kv, layer, slotMapping: metadata.slotMapping })
      return output.forward(pagedAttention(query, { ...attrs, kv, layer, metadata, sinks }), context)
    },
  }
}
