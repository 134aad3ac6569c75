import { llamaDesign, moeMlp } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

const names = { router: 'block_sparse_moe.gate', experts: 'block_sparse_moe.experts', gate: 'w1', up: 'w3', down: 'w2' }

/** Mixtral (Jiang et al. 2024, arXiv:2401.04088): Mistral with a mixture of experts in every layer. */
export const definition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return {
    ...base,
    attention: { ...base.attention, hasQkvBias: false, hasOutputBias: false },
    mlp: () => moeMlp(config, names, true),
  }
})
