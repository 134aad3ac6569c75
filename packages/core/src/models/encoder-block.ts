import { add } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { LayerType, ModelConfig } from '../config/model-config.ts'
import { createAttention } from '../layers/attention.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { createGatedMlp, type GatedMlpOptions } from '../layers/gated-mlp.ts'
import { createMlp } from '../layers/mlp.ts'
import type { Mlp } from '../layers/mlp.ts'
import { createLayerNorm } from '../layers/norm.ts'
import type { Norm } from '../layers/norm.ts'
import type { RopeRows, RotaryEmbedding } from '../layers/rotary-embedding.ts'
import type { WeightLoader } from '../layers/weight-loader.ts'
import type { EncoderDesign } from './encoder-design.ts'

export interface EncoderBlock {
  readonly layerType: LayerType
  /** x `[numTokens, hiddenSize]` → the same shape; `rows`: of this layer's rope. */
  forward(x: Tensor2D, context: ForwardContext, rows: RopeRows | null): Tensor2D
}

interface BlockContext {
  readonly loader: WeightLoader
  readonly config: ModelConfig
  readonly design: EncoderDesign
}

export function createEncoderBlock(context: BlockContext, layer: number, rope: RotaryEmbedding | null): EncoderBlock {
  const { loader, config, design } = context
  const { hiddenSize, numHeads, numKvHeads, headDim, normEpsilon: epsilon } = config
  const { qkv, output, hasBias } = design.attention
  const prefix = `${design.layers}.${layer}.`
  const layerType = config.layerTypes[layer] ?? 'full'
  const norm = (name: string): Norm => createLayerNorm(loader, { prefix: prefix + name, features: hiddenSize, epsilon })
  const attention = createAttention(loader, {
    layer: null,
    hiddenSize,
    numHeads,
    numKvHeads,
    headDim,
    qkvPrefixes: 'qkv' in qkv ? { qkv: prefix + qkv.qkv } : { q: prefix + qkv.q, k: prefix + qkv.k, v: prefix + qkv.v },
    outputPrefix: prefix + output,
    hasQkvBias: hasBias,
    hasOutputBias: hasBias,
    qkNorm: null,
    rope,
    scale: headDim ** -0.5,
    slidingWindow: layerType === 'sliding' ? config.slidingWindow : null,
    softcap: null,
    sinks: null,
  })
  const mlp = createEncoderMlp(context, prefix)
  const { norms } = design
  if (norms.place === 'after') {
    const afterAttention = norm(norms.attention)
    const afterMlp = norm(norms.mlp)
    return {
      layerType,
      forward(x, step, rows) {
        const { normed } = afterAttention.addForward(attention.forward(x, step, rows), x)
        return afterMlp.addForward(mlp.forward(normed, step), normed).normed
      },
    }
  }
  const name = norms.attention(layer)
  const beforeAttention = name === null ? null : norm(name)
  const beforeMlp = norm(norms.mlp)
  return {
    layerType,
    forward(x, step, rows) {
      const attended = attention.forward(beforeAttention?.forward(x) ?? x, step, rows)
      const { normed, sum } = beforeMlp.addForward(attended, x)
      return add(sum, mlp.forward(normed, step))
    },
  }
}

function createEncoderMlp({ loader, config, design: { mlp } }: BlockContext, prefix: string): Mlp {
  const { hiddenSize, intermediateSize } = config
  const { hasBias } = mlp
  const common = { downPrefix: prefix + mlp.down, hiddenSize, intermediateSize, hasBias }
  return mlp.kind === 'plain'
    ? createMlp(loader, { ...common, upPrefix: prefix + mlp.up, activation: mlp.activation })
    : createGatedMlp(loader, {
        ...common,
        prefixes: prefixed(mlp.prefixes, prefix),
        activation: mlp.activation,
      })
}

function prefixed(names: GatedMlpOptions['prefixes'], prefix: string): GatedMlpOptions['prefixes'] {
  return 'gateUp' in names ? { gateUp: prefix + names.gateUp } : { gate: prefix + names.gate, up: prefix + names.up }
}
