import { z } from 'zod'
import type { LayerPass } from '../decoder-layer.ts'
import { autoRound } from '../quantize/auto-round-pass.ts'
import { gptq } from '../quantize/gptq-pass.ts'
import type { QuantizingOptions } from '../quantize/pass-options.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { awq, awqTransform } from '../transform/awq.ts'
import type { SmoothMapping } from '../transform/choose-places.ts'
import { logEqualization, smoothQuant } from '../transform/smooth-quant.ts'
import type { KvCacheScheme } from '../weight-scheme.ts'
import { parseCacheScheme } from './cache-scheme.ts'
import { defineModifier } from './modifier-table.ts'
import type { MadePasses, ModifierContext, ModifierTable } from './modifier-table.ts'
import { foreignQuantizationFields, quantizationFields, resolveGroups, selectsAny } from './quantization-args.ts'
import type { QuantizationArgs, SchemeGroup } from './quantization-args.ts'
import { parseFields, refuseAt } from './recipe-error.ts'
import type { RecipePlace } from './recipe-error.ts'

const layerByLayer = 'layers are worked on one after the other in any case; leave it out'
const memory = 'what is kept in memory is said by maxActivationMemory; leave it out'

type CreatePass = (options: QuantizingOptions) => LayerPass

/** A pass for each group of modules that share a scheme. */
function passesOf(groups: readonly SchemeGroup[], create: CreatePass): LayerPass[] {
  return groups.map(({ scheme, targets, ignore }) =>
    create({ scheme: scheme.weights, activations: scheme.inputActivations, targets, ignore }),
  )
}

function quantizing(args: QuantizationArgs, place: RecipePlace, create: CreatePass): MadePasses {
  const groups = resolveGroups(args, place)
  return { passes: passesOf(groups, create), selects: selectsAny(groups), cacheScheme: cacheSchemeOf(args, place) }
}

function cacheSchemeOf({ kv_cache_scheme: cache }: QuantizationArgs, place: RecipePlace): KvCacheScheme | null {
  return parseCacheScheme(cache, [...place, 'kv_cache_scheme'])
}

const quantization = defineModifier({
  fields: z.object(quantizationFields),
  foreign: foreignQuantizationFields,
  create: (args, { place }) => quantizing(args, place, roundToNearest),
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
  create({ block_size: blockSize, dampening_frac: dampening, actorder, ...args }, { place }) {
    const order = actorder === undefined ? 'static' : orders[actorder ?? 'none']
    return quantizing(args, place, (options) => gptq({ ...options, blockSize, dampening, order }))
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
  create: ({ iters: steps, lr, ...args }, { place }) =>
    quantizing(args, place, (options) =>
      autoRound({ ...options, steps, ...(typeof lr === 'number' && { learningRate: lr }) }),
    ),
})

const names = z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat())

/** `{ smooth_layer, balance_layers }`, or as a pair `[balance_layers, smooth_layer]`. */
const mapping = z.union([
  z
    .strictObject({ smooth_layer: z.string(), balance_layers: names })
    .transform((value): SmoothMapping => ({ smoothLayer: value.smooth_layer, balanceLayers: value.balance_layers })),
  z
    .tuple([names, z.string()])
    .transform(([balanceLayers, smoothLayer]): SmoothMapping => ({ smoothLayer, balanceLayers })),
])
const mappings = z.array(mapping).nullish()

const awqModifier = defineModifier({
  fields: z.object({
    ...quantizationFields,
    mappings,
    duo_scaling: z.union([z.boolean(), z.literal('both')]).default(true),
    n_grid: z.int().min(3).default(20),
    // Ours: llm-compressor has neither.
    clip: z.boolean().optional(),
    refine: z.int().min(0).optional(),
  }),
  foreign: { ...foreignQuantizationFields, sequential_targets: layerByLayer, offload_device: memory },
  create({ mappings: places = null, duo_scaling: duoScaling, n_grid: gridSize, clip, refine, ...args }, context) {
    const options = {
      mappings: places,
      duoScaling,
      gridSize,
      ...(clip !== undefined && { clip }),
      ...(refine !== undefined && { refine }),
    }
    if (args.scheme !== undefined || args.config_groups !== undefined)
      return quantizing(args, context.place, (own) => awq({ ...own, ...options }))
    // Without a scheme it is a transform for what quantizes behind it.
    const passes = passesOf(laterGroups(context), (own) => awqTransform({ ...own, ...options }))
    return { passes, selects: null, cacheScheme: cacheSchemeOf(args, context.place) }
  },
})

/** Of the next modifier that quantizes. */
function laterGroups({ place, later }: ModifierContext): readonly SchemeGroup[] {
  const next = later.find(({ args }) => 'scheme' in args || 'config_groups' in args)
  if (next === undefined)
    return refuseAt(place, 'has no "scheme", and no modifier behind it has one: say how weights are quantized')
  const known = Object.keys(quantizationFields)
  const args = Object.fromEntries(Object.entries(next.args).filter(([name]) => known.includes(name)))
  return resolveGroups(parseFields(z.object(quantizationFields), args, next.place), next.place)
}

const calibratedAtOnce = 'all calibration texts are taken; leave it out'
const equalizationFields = { mappings, ignore: names.optional() }
const foreignEqualizationFields = {
  num_calibration_steps: calibratedAtOnce,
  calibration_function: calibratedAtOnce,
}

const smoothQuantModifier = defineModifier({
  fields: z.object({ ...equalizationFields, smoothing_strength: z.number().min(0).max(1).default(0.5) }),
  foreign: foreignEqualizationFields,
  create: ({ mappings: places = null, ignore = [], smoothing_strength: smoothingStrength }) => ({
    passes: [smoothQuant({ mappings: places, ignore, smoothingStrength })],
    selects: null,
  }),
})

const logEqualizationModifier = defineModifier({
  fields: z.object(equalizationFields),
  foreign: foreignEqualizationFields,
  create: ({ mappings: places = null, ignore = [] }) => ({
    passes: [logEqualization({ mappings: places, ignore })],
    selects: null,
  }),
})

/** llm-compressor's modifiers: one line each. */
export const modifierTable: ModifierTable = {
  QuantizationModifier: quantization,
  GPTQModifier: gptqModifier,
  AWQModifier: awqModifier,
  AutoRoundModifier: autoRoundModifier,
  SmoothQuantModifier: smoothQuantModifier,
  LogarithmicEqualizationModifier: logEqualizationModifier,
}
