import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** OLMo 2 (arXiv:2501.00656): norms after the sublayers only, and over the whole query and key projection. */
export const definition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return {
    ...base,
    block: {
      beforeAttention: null,
      afterAttention: 'post_attention_layernorm',
      beforeMlp: null,
      afterMlp: 'post_feedforward_layernorm',
    },
    attention: { ...base.attention, qkNorm: { over: 'projection', q: 'self_attn.q_norm', k: 'self_attn.k_norm' } },
  }
})
