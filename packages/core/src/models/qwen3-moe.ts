import { gatedMlp, moeMlp } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'
import { qwen3Design } from './qwen3.ts'

const names = { router: 'mlp.gate', experts: 'mlp.experts', gate: 'gate_proj', up: 'up_proj', down: 'down_proj' }

/** The mixtures of experts among Qwen 3; some layers may have a plain MLP. */
export const definition = defineDecoder((config) => {
  const { moe } = config
  return {
    ...qwen3Design(config),
    mlp: (layer) => (moe?.layers[layer] === true ? moeMlp(config, names, moe.normTopkProb) : gatedMlp(config)),
  }
})
