import { llamaDesign } from './decoder-design.ts'
import { defineDecoder } from './decoder.ts'
import type { ModelDefinition } from './model.ts'

/**
 * gpt-oss (arXiv:2508.10925): attention sinks, biases everywhere, experts stacked and stored `[in, out]` (in MXFP4 `[out, in]`)
 * with the outputs of gate and up projection alternating, softmax over the chosen experts only.
 */
export const definition: ModelDefinition = defineDecoder((config) => {
  const base = llamaDesign(config)
  return {
    ...base,
    inOut: /\.experts\.\d+\.(gate_up|down)_proj\.weight$/,
    attention: { ...base.attention, sinks: 'self_attn.sinks' },
    mlp: () => ({
      kind: 'moe',
      router: 'mlp.router',
      hasRouterBias: true,
      hasExpertBias: true,
      isInterleaved: true,
      scoring: 'softmax_topk',
      renormalize: false,
      activation: 'swiglu_oss',
      expert: (prefix, index, has) => {
        const one = `${prefix}mlp.experts.${index}`
        // GGUF has gate and up projection apart.
        const projections = has(`${one}.gate_proj.bias`) ? ['gate_proj', 'up_proj'] : ['gate_up_proj']
        return { gateUp: projections.map((projection) => `${one}.${projection}`), down: `${one}.down_proj` }
      },
    }),
  }
})
