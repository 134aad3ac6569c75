import { encodeIntQuantized, encodePackQuantized, QuantizationError } from '@octavo/core/quantization'
import type { GroupedSpec } from '@octavo/core/quantization'
import type { ActivationScheme } from '../weight-scheme.ts'
import type { CheckpointFormat, SavedModule } from './checkpoint-format.ts'

/** compressed-tensors' layouts of integers; which one a module has depends on whether its inputs are rounded too. */
export const compressedTensorsFormat: CheckpointFormat = {
  name: 'compressed-tensors',
  check({ name, weight }) {
    if (weight !== null && weight.format.codebook !== 'integers')
      throw new QuantizationError(`compressed-tensors holds it in a layout that is not written yet; save integers`, {
        module: name,
      })
  },
  encode: (weight, module) =>
    layoutOf(module) === 'int-quantized' ? encodeIntQuantized(weight) : encodePackQuantized(weight),
  section,
}

type Layout = 'int-quantized' | 'pack-quantized'

/** llm-compressor's choice: codes of eight bits that are multiplied as they are lie unpacked. */
function layoutOf({ weight, inputActivations }: SavedModule): Layout {
  const isPlain = weight !== null && weight.format.bits === 8 && !weight.format.hasOrder
  return isPlain && inputActivations !== null ? 'int-quantized' : 'pack-quantized'
}

interface ConfigGroup {
  readonly weights: Record<string, unknown>
  readonly input_activations: Record<string, unknown> | null
  readonly output_activations: null
  readonly format: Layout
}

function section(modules: readonly SavedModule[]): Record<string, unknown> {
  const groups = new Map<string, { readonly group: ConfigGroup; readonly modules: SavedModule[] }>()
  const ignore: string[] = []
  for (const module of modules) {
    if (module.weight === null) {
      if (module.role !== 'embedding') ignore.push(module.name)
      continue
    }
    const group = groupOf(module, module.weight)
    const key = JSON.stringify(group)
    const same = groups.get(key)
    if (same === undefined) groups.set(key, { group, modules: [module] })
    else same.modules.push(module)
  }
  const all = [...groups.values()]
  const layouts = new Set(all.map(({ group }) => group.format))
  return {
    quant_method: 'compressed-tensors',
    format: layouts.size === 1 ? [...layouts][0] : 'mixed-precision',
    quantization_status: 'compressed',
    global_compression_ratio: null,
    kv_cache_scheme: null,
    ignore,
    config_groups: Object.fromEntries(
      all.map(({ group, modules: members }, i) => [
        `group_${i}`,
        { targets: targetsOf(members, all.length), ...group },
      ]),
    ),
  }
}

/** One group is for all linear layers but those that are left out; several name theirs. */
function targetsOf(modules: readonly SavedModule[], numGroups: number): string[] {
  if (numGroups > 1) return modules.map(({ name }) => name)
  const classes = new Set(modules.map(({ role }) => (role === 'embedding' ? 'Embedding' : 'Linear')))
  return [...classes].sort()
}

function groupOf(module: SavedModule, { format }: GroupedSpec): ConfigGroup {
  const { bits, groupSize, hasZeros, hasOrder } = format
  return {
    weights: {
      num_bits: bits,
      type: 'int',
      symmetric: !hasZeros,
      strategy: groupSize === 'channel' ? 'channel' : 'group',
      group_size: groupSize === 'channel' ? null : groupSize,
      block_structure: null,
      dynamic: false,
      actorder: hasOrder ? 'group' : null,
      observer: 'minmax',
      observer_kwargs: {},
    },
    input_activations: module.inputActivations && activationArgs(module.inputActivations),
    output_activations: null,
    format: layoutOf(module),
  }
}

export function activationArgs(scheme: ActivationScheme): Record<string, unknown> {
  return {
    num_bits: scheme.numBits,
    type: scheme.type,
    symmetric: scheme.isSymmetric,
    strategy: scheme.strategy,
    group_size: scheme.groupSize,
    block_structure: null,
    dynamic: scheme.isDynamic,
    actorder: null,
    observer: scheme.isDynamic === true ? null : 'minmax',
    observer_kwargs: {},
  }
}
