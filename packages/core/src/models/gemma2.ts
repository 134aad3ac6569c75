import type { ModelConfig } from '../config/model-config.ts'
import { llamaDesign } from './decoder-design.ts'
import type { DecoderDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/**
 * Gemma 2 (arXiv:2408.00118): norms before and after both sublayers, `1 + w` as norm weights, scaled embeddings,
 * capped attention scores and logits, a sliding window in every other layer.
 */
export function gemma2Design(config: ModelConfig): DecoderDesign {
  const base = llamaDesign(config)
  return {
    ...base,
    embeddingScale: Math.sqrt(config.hiddenSize),
    finalSoftcap: config.finalSoftcap,
    norm: { kind: 'rms', hasUnitOffset: true },
    block: {
      beforeAttention: 'input_layernorm',
      afterAttention: 'post_attention_layernorm',
      beforeMlp: 'pre_feedforward_layernorm',
      afterMlp: 'post_feedforward_layernorm',
    },
    attention: {
      ...base.attention,
      scale: () => (config.queryPreAttnScalar ?? config.headDim) ** -0.5,
      softcap: config.attentionSoftcap,
    },
  }
}

export const definition = defineDecoder(gemma2Design)
