import { UnsupportedModelError } from '../errors.ts'
import { llamaDesign } from './decoder-design.ts'
import { loadDecoder } from './decoder.ts'
import type { ModelDefinition } from './model.ts'

/**
 * gpt-oss (arXiv:2508.10925): attention sinks, biases everywhere, experts stacked and stored `[in, out]` with the columns
 * of gate and up projection alternating, softmax over the chosen experts only.
 */
export const definition: ModelDefinition = {
  load(context) {
    const { config, source } = context
    if (source.names().some((name) => name.endsWith('_proj_blocks'))) {
      throw new UnsupportedModelError(
        `${source.file}: MXFP4 experts are not supported yet. Use a checkpoint whose experts were widened to bfloat16.`,
      )
    }
    const base = llamaDesign(config)
    // GGUF has gate and up projection apart.
    const isSplit = source.names().some((name) => name.endsWith('.experts.0.gate_proj.weight'))
    return loadDecoder(context, {
      ...base,
      inOut: /\.experts\.\d+\.(gate_up|down)_proj\.weight$/,
      attention: { ...base.attention, sinks: 'self_attn.sinks' },
      mlp: () => ({
        kind: 'moe',
        router: 'mlp.router',
        hasRouterBias: true,
        hasExpertBias: true,
        isInterleaved: !isSplit,
        scoring: 'softmax_topk',
        renormalize: false,
        activation: 'swiglu_oss',
        expert: (prefix, index) => ({
          gateUp: (isSplit ? ['gate_proj', 'up_proj'] : ['gate_up_proj']).map(
            (projection) => `${prefix}mlp.experts.${index}.${projection}`,
          ),
          down: `${prefix}mlp.experts.${index}.down_proj`,
        }),
      }),
    })
  },
}
