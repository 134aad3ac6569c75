import { z } from 'zod'
import type { LayerPass } from '../decoder-layer.ts'
import { autoRound } from '../quantize/auto-round-pass.ts'
import { gptq } from '../quantize/gptq-pass.ts'
import type { QuantizingOptions } from '../quantize/pass-options.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { defineModifier } from './modifier-table.ts'
import type { MadePasses, ModifierTable } from './modifier-table.ts'
import { foreignQuantizationFields, quantizationFields, resolveGroups, selectsAny } from './quantization-args.ts'
import type { SchemeGroup } from './quantization-args.ts'

const layerByLayer = 'layers are worked on one after the other in any case; leave it out'
const memory = 'what is kept in memory is said by maxActivationMemory; leave it out'

/** A pass for each group of modules that share a scheme. */
function quantizing(groups: readonly SchemeGroup[], create: (options: QuantizingOptions) => LayerPass): MadePasses {
  return {
    passes: groups.map(({ scheme, targets, ignore }) =>
      create({ scheme: scheme.weights, activations: scheme.inputActivations, targets, ignore }),
    ),
    selects: selectsAny(groups),
  }
}

const quantization = defineModifier({
  fields: z.object(quantizationFields),
  foreign: foreignQuantizationFields,
  create: (args, place) => quantizing(resolveGroups(args, place), roundToNearest),
})

const orders = {
  none: 'none',
  static: 'static',
  weight: 'static',
  group: 'group',
  'group-aware': 'group-aware',
} as const

const gptqModifier = defineModifier({
  fields: z.object({
    ...quantizationFields,
    block_size: z.int().min(1).default(128),
    dampening_frac: z.number().min(0).default(0.01),
    actorder: z.enum(['none', 'static', 'weight', 'group', 'group-aware']).nullish(),
  }),
  foreign: { ...foreignQuantizationFields, sequential_targets: layerByLayer, offload_hessians: memory },
  create({ block_size: blockSize, dampening_frac: dampening, actorder, ...args }, place) {
    const order = actorder === undefined ? 'static' : orders[actorder ?? 'none']
    return quantizing(resolveGroups(args, place), (options) => gptq({ ...options, blockSize, dampening, order }))
  },
})

const autoRoundModifier = defineModifier({
  fields: z.object({
    ...quantizationFields,
    iters: z.int().min(1).default(200),
    lr: z.number().positive().max(1).nullish(),
  }),
  foreign: {
    ...foreignQuantizationFields,
    sequential_targets: layerByLayer,
    batch_size: 'each step takes all calibration tokens, by their moments; leave it out',
    enable_torch_compile: 'there is no torch here; leave it out',
    device_ids: 'there are no devices to choose; leave it out',
  },
  create: ({ iters: steps, lr, ...args }, place) =>
    quantizing(resolveGroups(args, place), (options) =>
      autoRound({ ...options, steps, ...(typeof lr === 'number' && { learningRate: lr }) }),
    ),
})

/** llm-compressor's modifiers: one line each. */
export const modifierTable: ModifierTable = {
  QuantizationModifier: quantization,
  GPTQModifier: gptqModifier,
  AutoRoundModifier: autoRoundModifier,
}
