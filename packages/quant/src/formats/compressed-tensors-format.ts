import {
  encodeFloat8,
  encodeIntQuantized,
  encodeMxfp4,
  encodeNvfp4,
  encodePackQuantized,
  float8Mismatch,
  mxfp4Mismatch,
  nvfp4Mismatch,
  packQuantizedMismatch,
  QuantizationError,
} from '@octavo/core/quantization'
import type { EncodedTensor, Float8Layout, GroupedSpec, GroupedWeight } from '@octavo/core/quantization'
import type { ActivationScheme, KvCacheScheme } from '../weight-scheme.ts'
import type { CheckpointFormat, SavedModule } from './checkpoint-format.ts'

type LayoutName =
  | 'float-quantized'
  | 'int-quantized'
  | 'mxfp4-pack-quantized'
  | 'nvfp4-pack-quantized'
  | 'pack-quantized'

/** One of compressed-tensors' layouts. */
interface Layout {
  mismatch(spec: GroupedSpec, module: SavedModule): string | null
  encode(weight: GroupedWeight, module: SavedModule): readonly EncodedTensor[]
}

const float8 = ({ sharedRows }: SavedModule): Float8Layout => ({ scaleName: 'weight_scale', sharedRows })

const layouts: Readonly<Record<LayoutName, Layout>> = {
  'pack-quantized': { mismatch: packQuantizedMismatch, encode: encodePackQuantized },
  // Chosen only where it fits.
  'int-quantized': { mismatch: () => null, encode: encodeIntQuantized },
  'float-quantized': {
    mismatch: (spec, module) => float8Mismatch(spec, float8(module)),
    encode: (weight, module) => encodeFloat8(weight, float8(module)),
  },
  'mxfp4-pack-quantized': { mismatch: mxfp4Mismatch, encode: encodeMxfp4 },
  'nvfp4-pack-quantized': {
    mismatch: nvfp4Mismatch,
    encode: (weight) => encodeNvfp4(weight, { dialect: 'compressed-tensors' }),
  },
}

const mxfp4GroupSize = 32

/** The layout follows from the weight, and for codes of eight bits from whether its inputs are rounded too. */
export const compressedTensorsFormat: CheckpointFormat = {
  name: 'compressed-tensors',
  hasCacheScales: true,
  check(module) {
    const { name, weight } = module
    const mismatch = weight && layouts[layoutOf(module, weight)].mismatch(weight, module)
    if (mismatch !== null)
      throw new QuantizationError(`compressed-tensors can't hold it: ${mismatch}; choose another scheme`, {
        module: name,
      })
  },
  encode: (weight, module) => layouts[layoutOf(module, weight)].encode(weight, module),
  section,
}

/** llm-compressor's choice: integers of eight bits that are multiplied as they are lie unpacked. */
function layoutOf({ inputActivations }: SavedModule, { format }: GroupedSpec): LayoutName {
  const { bits, codebook, groupSize, hasOrder } = format
  if (codebook === 'e4m3') return 'float-quantized'
  if (codebook === 'e2m1') return groupSize === mxfp4GroupSize ? 'mxfp4-pack-quantized' : 'nvfp4-pack-quantized'
  return bits === 8 && !hasOrder && inputActivations !== null ? 'int-quantized' : 'pack-quantized'
}

interface ConfigGroup {
  readonly weights: Record<string, unknown>
  readonly input_activations: Record<string, unknown> | null
  readonly output_activations: null
  readonly format: LayoutName
}

function section(modules: readonly SavedModule[], cache: KvCacheScheme | null): Record<string, unknown> {
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
  const names = new Set(all.map(({ group }) => group.format))
  return {
    quant_method: 'compressed-tensors',
    format: names.size > 1 ? 'mixed-precision' : ([...names][0] ?? 'dense'),
    quantization_status: 'compressed',
    global_compression_ratio: null,
    kv_cache_scheme: cache && cacheArgs(cache),
    // Where nothing is quantized, nothing is left out.
    ignore: all.length === 0 ? [] : ignore,
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

function groupOf(module: SavedModule, spec: GroupedSpec): ConfigGroup {
  const { bits, codebook, hasZeros, hasOrder } = spec.format
  const layout = layoutOf(module, spec)
  return {
    weights: {
      num_bits: bits,
      type: codebook === 'integers' ? 'int' : 'float',
      symmetric: !hasZeros,
      ...sharing(module, spec),
      ...(layout === 'mxfp4-pack-quantized' && { scale_dtype: 'torch.uint8' }),
      dynamic: false,
      actorder: hasOrder ? 'group' : null,
      observer: 'minmax',
      observer_kwargs: {},
    },
    input_activations: module.inputActivations && activationArgs(module.inputActivations),
    output_activations: null,
    format: layout,
  }
}

/** What shares a scale. */
function sharing(module: SavedModule, spec: GroupedSpec): Record<string, unknown> {
  const { groupSize } = spec.format
  const none = { group_size: null, block_structure: null }
  if (groupSize === 'channel') return { strategy: module.sharedRows === 'all' ? 'tensor' : 'channel', ...none }
  if (module.sharedRows !== 1) return { strategy: 'block', ...none, block_structure: [module.sharedRows, groupSize] }
  const strategy = layoutOf(module, spec) === 'nvfp4-pack-quantized' ? 'tensor_group' : 'group'
  return { strategy, group_size: groupSize, block_structure: null }
}

function cacheArgs({ type, strategy }: KvCacheScheme): Record<string, unknown> {
  return {
    num_bits: 8,
    type,
    symmetric: true,
    strategy: strategy === 'head' ? 'attn_head' : 'tensor',
    group_size: null,
    block_structure: null,
    dynamic: false,
    actorder: null,
    observer: 'minmax',
    observer_kwargs: {},
  }
}

function activationArgs(scheme: ActivationScheme): Record<string, unknown> {
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
