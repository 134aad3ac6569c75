import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'

/** Qwen 2 and 2.5 (Yang et al. 2024, arXiv:2407.10671): Llama with biases on queries, keys and values. */
export const definition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return { ...base, attention: { ...base.attention, hasQkvBias: true, hasOutputBias: false } }
})
