import { z } from 'zod'
import { nearestName } from '@octavo/core'
import { createModuleSelector } from '../module-selector.ts'
import type { ModuleSelection, SelectsModule } from '../module-selector.ts'
import type { ActivationScheme, WeightScheme } from '../weight-scheme.ts'
import { checkFields, parseFields, refuseAt } from './recipe-error.ts'
import type { RecipePlace } from './recipe-error.ts'
import { refusedPresets, schemePresets } from './schemes.ts'
import type { QuantizationScheme } from './schemes.ts'

const names = z.union([z.string(), z.array(z.string())]).transform((value) => [value].flat())

/** What all modifiers that quantize take: llm-compressor's `QuantizationMixin`. */
export const quantizationFields = {
  targets: names.optional(),
  ignore: names.optional(),
  scheme: z.union([z.string(), z.record(z.string(), names)]).optional(),
  config_groups: z.record(z.string(), z.unknown()).optional(),
  kv_cache_scheme: z.unknown().optional(),
}

/** Fields of it that mean nothing here. */
export const foreignQuantizationFields: Readonly<Record<string, string>> = {
  input_observer: 'scales of inputs are found for each token when the model runs; leave it out',
  output_observer: 'outputs are not quantized; leave it out',
  weight_observer: 'say it with the weights of a config group: weights.observer',
  bypass_divisibility_checks: 'groups have to divide a row, or whoever runs the model refuses it; leave it out',
}

/** Modules that share a scheme. */
export interface SchemeGroup extends Required<ModuleSelection> {
  readonly scheme: QuantizationScheme
}

export type QuantizationArgs = z.output<z.ZodObject<typeof quantizationFields>>

/**
 * The groups that a modifier's arguments come to, none of which has a module of another: those that name modules go before those
 * that name classes, as in compressed-tensors. None where only a KV cache has a scheme.
 *
 * @throws InvalidConfigError naming the field
 */
export function resolveGroups(args: QuantizationArgs, place: RecipePlace): readonly SchemeGroup[] {
  const { targets = ['Linear'], ignore = [], scheme, config_groups: groups, kv_cache_scheme: cache } = args
  if (scheme === undefined && groups === undefined && cache != null) return []
  if ((scheme === undefined) === (groups === undefined))
    refuseAt(place, 'must have one of "scheme" and "config_groups", which say how weights are quantized')
  const stated =
    groups !== undefined
      ? Object.entries(groups).map(([name, group]) => parseGroup(group, [...place, 'config_groups', name]))
      : typeof scheme === 'string'
        ? [{ targets, scheme: presetOf(scheme, [...place, 'scheme']) }]
        : Object.entries(scheme!).map(([name, schemeTargets]) => ({
            targets: schemeTargets,
            scheme: presetOf(name, [...place, 'scheme', name]),
          }))
  const sorted = [...stated.filter((group) => !hasClass(group)), ...stated.filter(hasClass)]
  const taken = [...ignore]
  return sorted.map((group) => {
    const own = { ...group, ignore: [...taken] }
    taken.push(...group.targets)
    return own
  })
}

export function selectsAny(groups: readonly ModuleSelection[]): SelectsModule {
  const selectors = groups.map(createModuleSelector)
  return (module) => selectors.some((selects) => selects(module))
}

function hasClass({ targets }: { readonly targets: readonly string[] }): boolean {
  return targets.some((target) => target === 'Linear' || target === 'Embedding')
}

export function presetOf(name: string, place: RecipePlace): QuantizationScheme {
  const presets: Readonly<Record<string, QuantizationScheme>> = schemePresets
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined
  if (preset !== undefined) return preset
  if (Object.hasOwn(refusedPresets, name)) refuseAt(place, `${name} can't be made here: ${refusedPresets[name]}`)
  const known = Object.keys(presets)
  const nearest = nearestName(name, known)
  return refuseAt(
    place,
    `there is no scheme "${name}"${nearest === null ? '.' : `; did you mean "${nearest}"?`} Known are ${known.join(', ')}`,
  )
}

const groupFields = {
  targets: names,
  weights: z.unknown().optional(),
  input_activations: z.unknown().optional(),
  output_activations: z.null('outputs are not quantized: it must be null, or left out').optional(),
  format: z.null('the layout follows from the scheme and from the format it is saved in: leave it out').optional(),
}

function parseGroup(
  value: unknown,
  place: RecipePlace,
): { readonly targets: readonly string[]; readonly scheme: QuantizationScheme } {
  if (typeof value !== 'object' || value === null) refuseAt(place, 'must be an object with "targets" and "weights"')
  checkFields(value, { place, known: Object.keys(groupFields) })
  const { targets, weights, input_activations: inputs } = parseFields(z.object(groupFields), value, place)
  return {
    targets,
    scheme: {
      weights: parseWeights(weights, [...place, 'weights']),
      inputActivations: inputs == null ? null : parseActivations(inputs, [...place, 'input_activations']),
    },
  }
}

const numberType = z.enum(['int', 'float']).default('int')

const weightFields = {
  num_bits: z.int().min(2).max(8).default(8),
  type: numberType,
  symmetric: z.boolean().default(true),
  strategy: z.enum(['tensor', 'channel', 'group', 'block', 'tensor_group']).optional(),
  group_size: z.int().min(-1).nullish(),
  block_structure: z.array(z.int().min(1)).length(2).nullish(),
  observer: z.enum(['minmax', 'memoryless_minmax', 'mse', 'memoryless_mse']).nullish(),
  dynamic: z.literal(false, 'weights have their scales from the start: it must be false').optional(),
  scale_dtype: z.enum(['float32', 'float16', 'bfloat16']).nullish(),
}

const foreignWeightFields: Readonly<Record<string, string>> = {
  actorder: "say it beside the modifier's own fields: actorder",
  observer_kwargs: 'observers have no further options; leave it out',
  zp_dtype: 'zero points are integers of the width of the codes; leave it out',
}

function parseWeights(value: unknown, place: RecipePlace): WeightScheme {
  if (typeof value !== 'object' || value === null) refuseAt(place, 'must be an object with "num_bits" and others')
  checkFields(value, { place, known: Object.keys(weightFields), foreign: foreignWeightFields })
  const args = parseFields(z.object(weightFields), value, place)
  const { num_bits: numBits, type, symmetric: isSymmetric, block_structure: block } = args
  const stated = args.group_size ?? null
  const groupSize = stated === null || stated < 1 ? null : stated
  const inferred = block != null ? 'block' : stated === null ? 'tensor' : groupSize === null ? 'channel' : 'group'
  const strategy = args.strategy === 'tensor_group' ? 'group' : (args.strategy ?? inferred)
  if (strategy === 'group' && groupSize === null) refuseAt(place, 'groups need a "group_size" of at least 1')
  if (strategy === 'block' && block == null) refuseAt(place, 'blocks need a "block_structure" [rows, columns]')
  if (type === 'float' && numBits !== 4 && numBits !== 8)
    refuseAt([...place, 'num_bits'], `floats have 4 bits (e2m1) or 8 (e4m3), not ${numBits}`)
  if (type === 'float' && !isSymmetric) refuseAt([...place, 'symmetric'], 'floats have no zero points: it must be true')
  return {
    numBits,
    type,
    isSymmetric,
    strategy,
    groupSize: strategy === 'group' ? groupSize : null,
    blockShape: strategy === 'block' ? [block![0]!, block![1]!] : null,
    scaleDtype:
      args.scale_dtype ?? (args.strategy === 'tensor_group' ? 'e4m3' : type === 'int' ? 'float16' : 'float32'),
    observer: args.observer?.endsWith('mse') === true ? 'mse' : 'minmax',
  }
}

const activationFields = {
  num_bits: z.int().min(4).max(8).default(8),
  type: numberType,
  symmetric: z.boolean().default(true),
  strategy: z.enum(['token', 'group']).default('token'),
  group_size: z.int().min(1).nullish(),
  dynamic: z.literal(true, 'scales of inputs are found when the model runs: it must be true').default(true),
}

const foreignActivationFields: Readonly<Record<string, string>> = {
  observer: 'scales of inputs are found when the model runs; leave it out',
  observer_kwargs: 'scales of inputs are found when the model runs; leave it out',
  actorder: 'inputs have no order; leave it out',
  block_structure: 'inputs have no blocks; leave it out',
}

function parseActivations(value: unknown, place: RecipePlace): ActivationScheme {
  if (typeof value !== 'object' || value === null) refuseAt(place, 'must be an object with "num_bits" and others')
  checkFields(value, { place, known: Object.keys(activationFields), foreign: foreignActivationFields })
  const args = parseFields(z.object(activationFields), value, place)
  if (args.strategy === 'group' && args.group_size == null) refuseAt(place, 'groups need a "group_size"')
  return {
    numBits: args.num_bits,
    type: args.type,
    isSymmetric: args.symmetric,
    strategy: args.strategy,
    groupSize: args.strategy === 'group' ? args.group_size! : null,
    isDynamic: args.dynamic,
  }
}
