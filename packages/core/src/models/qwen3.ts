import type { ModelConfig } from '../config/model-config.ts'
import { llamaDesign } from './decoder-design.ts'
import type { DecoderDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** Qwen 3 (Yang et al. 2025, arXiv:2505.09388): Llama with norms over each query and key head. */
export function qwen3Design(config: ModelConfig): DecoderDesign {
  const base = llamaDesign(config)
  return {
    ...base,
    attention: { ...base.attention, qkNorm: { over: 'head', q: 'self_attn.q_norm', k: 'self_attn.k_norm' } },
  }
}

export const definition = defineDecoder(qwen3Design)
