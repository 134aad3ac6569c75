import { add } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { ModelConfig } from '../config/model-config.ts'
import { createAttention } from '../layers/attention.ts'
import type { Attention } from '../layers/attention.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { createGatedMlp } from '../layers/gated-mlp.ts'
import { createMlp } from '../layers/mlp.ts'
import type { Mlp } from '../layers/mlp.ts'
import { createMoe } from '../layers/moe.ts'
import { createLayerNorm, createRmsNorm } from '../layers/norm.ts'
import type { Norm } from '../layers/norm.ts'
import type { RopeRows, RotaryEmbedding } from '../layers/rotary-embedding.ts'
import type { WeightLoader } from '../layers/weight-loader.ts'
import { assert, unreachable } from '../util/assert.ts'
import type { DecoderDesign } from './decoder-design.ts'

/** One layer of the stack. Which norms exist makes it pre-norm, post-norm, or both. */
export interface DecoderBlock {
  readonly isSliding: boolean
  readonly beforeAttention: Norm | null
  readonly attention: Attention
  readonly afterAttention: Norm | null
  readonly beforeMlp: Norm | null
  readonly mlp: Mlp
  readonly afterMlp: Norm | null
}

/** What flows between blocks; a type alias, because `tidy` returns index-signature types only. */
export type Stream = {
  /** What the next sublayer reads: the residual, normed where that sublayer has a norm before it. */
  readonly x: Tensor2D // [numTokens, hiddenSize]
  readonly residual: Tensor2D // [numTokens, hiddenSize]
}

export interface BlockContext {
  readonly loader: WeightLoader
  readonly config: ModelConfig
  readonly design: DecoderDesign
  /** The stage's first layer, which is layer 0 of its KV cache. */
  readonly firstLayer: number
}

export function createBlock(context: BlockContext, layer: number, rope: RotaryEmbedding | null): DecoderBlock {
  const { config, design } = context
  const prefix = `${design.layers}.${layer}.`
  const norm = (name: string | null): Norm | null => (name === null ? null : createNorm(context, prefix + name))
  return {
    isSliding: config.layerTypes[layer] === 'sliding',
    beforeAttention: norm(design.block.beforeAttention),
    attention: createBlockAttention(context, layer, { prefix, rope }),
    afterAttention: norm(design.block.afterAttention),
    beforeMlp: norm(design.block.beforeMlp),
    mlp: createBlockMlp(context, layer, prefix),
    afterMlp: norm(design.block.afterMlp),
  }
}

export function createNorm({ loader, config, design }: BlockContext, prefix: string): Norm {
  const options = { prefix, features: config.hiddenSize, epsilon: config.normEpsilon }
  const { kind, hasUnitOffset } = design.norm
  return kind === 'layer' ? createLayerNorm(loader, options) : createRmsNorm(loader, { ...options, hasUnitOffset })
}

/** `next`: the norm before whatever follows this block. */
export function runBlock(
  block: DecoderBlock,
  { x, residual }: Stream,
  { next, rows, context }: { next: Norm | null; rows: RopeRows | null; context: ForwardContext },
): Stream {
  const attended = block.attention.forward(x, context, rows)
  const middle = addAndNorm(block.afterAttention?.forward(attended) ?? attended, residual, block.beforeMlp)
  const mapped = block.mlp.forward(middle.x, context)
  return addAndNorm(block.afterMlp?.forward(mapped) ?? mapped, middle.residual, next)
}

function addAndNorm(x: Tensor2D, residual: Tensor2D, norm: Norm | null): Stream {
  if (norm === null) {
    const sum = add<Tensor2D>(x, residual)
    return { x: sum, residual: sum }
  }
  const { normed, sum } = norm.addForward(x, residual)
  return { x: normed, residual: sum }
}

function createBlockAttention(
  context: BlockContext,
  layer: number,
  { prefix, rope }: { prefix: string; rope: RotaryEmbedding | null },
): Attention {
  const { loader, config, design, firstLayer } = context
  const { qkv, output, hasQkvBias, hasOutputBias, qkNorm, scale, softcap, sinks } = design.attention
  const { hiddenSize, numHeads, numKvHeads, headDim } = config
  return createAttention(loader, {
    layer: layer - firstLayer,
    hiddenSize,
    numHeads,
    numKvHeads,
    headDim,
    qkvPrefixes: 'qkv' in qkv ? { qkv: prefix + qkv.qkv } : { q: prefix + qkv.q, k: prefix + qkv.k, v: prefix + qkv.v },
    outputPrefix: prefix + output,
    hasQkvBias,
    hasOutputBias,
    qkNorm:
      qkNorm === null
        ? null
        : {
            over: qkNorm.over,
            qPrefix: prefix + qkNorm.q,
            kPrefix: prefix + qkNorm.k,
            epsilon: config.normEpsilon,
            hasUnitOffset: design.norm.hasUnitOffset,
          },
    rope,
    scale: scale(layer),
    slidingWindow: config.layerTypes[layer] === 'sliding' ? config.slidingWindow : null,
    softcap,
    sinks: sinks === null ? null : prefix + sinks,
  })
}

function createBlockMlp({ loader, config, design }: BlockContext, layer: number, prefix: string): Mlp {
  const mlp = design.mlp(layer)
  const { hiddenSize, intermediateSize, moe } = config
  switch (mlp.kind) {
    case 'gated': {
      const { prefixes, down, hasBias, activation } = mlp
      return createGatedMlp(loader, {
        prefixes:
          'gateUp' in prefixes
            ? { gateUp: prefix + prefixes.gateUp }
            : { gate: prefix + prefixes.gate, up: prefix + prefixes.up },
        downPrefix: prefix + down,
        hiddenSize,
        intermediateSize,
        hasBias,
        activation,
      })
    }
    case 'plain':
      return createMlp(loader, {
        ...mlp,
        upPrefix: prefix + mlp.up,
        downPrefix: prefix + mlp.down,
        hiddenSize,
        intermediateSize,
      })
    case 'moe': {
      assert(moe !== null, 'a mixture of experts has its section in the config')
      const { scoring, renormalize, activation, hasRouterBias, hasExpertBias, isInterleaved, router } = mlp
      return createMoe(loader, {
        routerPrefix: prefix + router,
        hasRouterBias,
        hasExpertBias,
        isInterleaved,
        numExperts: moe.numExperts,
        numExpertsPerToken: moe.numExpertsPerToken,
        hiddenSize,
        intermediateSize: moe.intermediateSize,
        scoring,
        renormalize,
        activation,
        expert: (index) => mlp.expert(prefix, index, (name) => loader.has(name)),
      })
    }
    default:
      return unreachable(mlp)
  }
}
