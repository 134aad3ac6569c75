import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** GPT-2 (Radford et al. 2019): learned positions, layer norms with biases, a plain MLP, Conv1D weights `[in, out]`. */
export const definition = defineDecoder((config) => ({
  ...llamaDesign(config),
  embedding: 'wte',
  positions: 'wpe',
  finalNorm: 'ln_f',
  norm: { kind: 'layer', hasUnitOffset: false },
  layers: 'h',
  block: { beforeAttention: 'ln_1', afterAttention: null, beforeMlp: 'ln_2', afterMlp: null },
  attention: {
    qkv: { qkv: 'attn.c_attn' },
    output: 'attn.c_proj',
    hasQkvBias: true,
    hasOutputBias: true,
    isTransposed: true,
    qkNorm: null,
    hasRope: false,
    scale: (layer) =>
      (config.isAttentionScaled ? config.headDim ** -0.5 : 1) / (config.isAttentionScaledByLayer ? layer + 1 : 1),
    softcap: null,
    sinks: null,
  },
  mlp: () => ({
    kind: 'plain',
    up: 'mlp.c_fc',
    down: 'mlp.c_proj',
    hasBias: true,
    isTransposed: true,
    activation: config.activation,
  }),
}))
