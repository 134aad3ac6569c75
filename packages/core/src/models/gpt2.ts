import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** GPT-2 (Radford et al. 2019): learned positions, layer norms with biases, a plain MLP, Conv1D weights `[in, out]`. */
export const definition = defineDecoder((config) => ({
  ...llamaDesign(config),
  stack: 'transformer.',
  embedding: 'transformer.wte',
  positions: 'transformer.wpe',
  finalNorm: 'transformer.ln_f',
  classifiers: { texts: { dense: null, output: 'score' }, tokens: { dense: null, output: 'classifier' } },
  norm: { kind: 'layer', hasUnitOffset: false },
  layers: 'transformer.h',
  inOut: /\.(c_attn|c_proj|c_fc)\.weight$/,
  block: { beforeAttention: 'ln_1', afterAttention: null, beforeMlp: 'ln_2', afterMlp: null },
  attention: {
    qkv: { qkv: 'attn.c_attn' },
    output: 'attn.c_proj',
    hasQkvBias: true,
    hasOutputBias: true,
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
    activation: config.activation,
  }),
}))
