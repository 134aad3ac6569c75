import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** Phi-3, 3.5 and 4 (Abdin et al. 2024, arXiv:2404.14219): Llama with fused projections; rope may be partial, or LongRoPE. */
export const definition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return {
    ...base,
    attention: { ...base.attention, qkv: { qkv: 'self_attn.qkv_proj' }, hasQkvBias: false, hasOutputBias: false },
    mlp: () => ({
      kind: 'gated',
      prefixes: { gateUp: 'mlp.gate_up_proj' },
      down: 'mlp.down_proj',
      hasBias: false,
      activation: config.activation,
    }),
  }
})
