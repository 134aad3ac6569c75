import { defineDecoder } from './decoder.ts'
import { gemma2Design } from './gemma2.ts'

/** Gemma 3's text decoder (arXiv:2503.19786): Gemma 2 with query and key norms, and a rope of its own for sliding layers. */
export const definition = defineDecoder((config) => {
  const base = gemma2Design(config)
  // These norms took the place of Gemma 2's cap on attention scores.
  const attention = {
    ...base.attention,
    softcap: null,
    qkNorm: { over: 'head', q: 'self_attn.q_norm', k: 'self_attn.k_norm' },
  } as const
  return { ...base, attention }
})
