import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** Mistral 7B and its kin (Jiang et al. 2023, arXiv:2310.06825): Llama with a sliding window, which the config carries. */
export const definition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return { ...base, attention: { ...base.attention, hasQkvBias: false, hasOutputBias: false } }
})
