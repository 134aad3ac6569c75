import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { LinearRole } from '../layers/linear-method.ts'
import type { QuantizationSection } from '../loading/quantization-section.ts'
import { createModulePattern, createPatternBudget, refusePattern, type PatternOptions } from './module-pattern.ts'
import { groupSizeSchema, parseSection } from './section.ts'

const blockSize = z
  .int()
  .min(1)
  .max(2 ** 20)

/** compressed-tensors' `QuantizationArgs`, of weights. What it says of how scales were found is not read. */
const weightArgs = z.object({
  num_bits: z.int().min(1).max(64).default(8),
  type: z.enum(['int', 'float']).default('int'),
  symmetric: z.boolean().default(true),
  strategy: z.string().max(32).nullish(),
  group_size: groupSizeSchema.nullish(),
  block_structure: z.union([z.tuple([blockSize, blockSize]), z.string().regex(/^\d{1,6}x\d{1,6}$/)]).nullish(),
})

const schema = z.object({
  format: z.string().max(64).nullish(),
  config_groups: z.record(
    z.string(),
    z.object({
      targets: z.array(z.string().max(2000)).max(100_000),
      weights: weightArgs.nullish(),
      format: z.string().max(64).nullish(),
    }),
  ),
  sparsity_config: z.looseObject({ format: z.string().max(64).nullish() }).nullish(),
  transform_config: z.looseObject({ config_groups: z.record(z.string(), z.unknown()).nullish() }).nullish(),
})

/** How the weights of a group of modules are quantized. */
export interface CompressedWeights {
  readonly numBits: number
  readonly type: 'int' | 'float'
  readonly strategy: 'tensor' | 'channel' | 'group' | 'tensor_group' | 'block'
  readonly groupSize: number | null
  readonly blockShape: readonly [rows: number, cols: number] | null
}

export interface CompressedTensorsConfig {
  /**
   * By the names of a module, or its class. Of one group only, that, whatever its targets are called.
   * @throws CheckpointError where no group is for it
   */
  weightsOf(names: readonly string[], role: LinearRole): CompressedWeights
}

const strategies = ['tensor', 'channel', 'group', 'tensor_group', 'block'] as const

/**
 * @throws CheckpointError naming the key that is missing or wrong
 * @throws UnsupportedModelError for weights that are sparse too, transformed, or grouped in another way
 */
export function parseCompressedTensors(section: QuantizationSection): CompressedTensorsConfig {
  const { file } = section
  const json = parseSection(section, schema)
  const refuse = (what: string): never => {
    throw new UnsupportedModelError(`${file}: compressed-tensors checkpoints ${what} can't be read; use one without`)
  }
  const sparsity = json.sparsity_config?.format ?? 'dense'
  if (sparsity !== 'dense') refuse(`whose weights are stored sparse ("${sparsity}")`)
  if (Object.keys(json.transform_config?.config_groups ?? {}).length > 0)
    refuse('whose activations are transformed as the model runs ("transform_config")')
  const options = { budget: createPatternBudget(), refuse: refusePattern(file) }
  const groups = Object.entries(json.config_groups).flatMap(([name, { targets, weights, format }]) => {
    const stated = format ?? json.format ?? ''
    if (/sparse|marlin/.test(stated)) refuse(`in the format "${stated}"`)
    return weights == null
      ? []
      : [{ targets: toTargets(targets, options), weights: toWeights(weights, { file, name }) }]
  })
  const byName = (names: readonly string[]) => groups.find(({ targets }) => names.some(targets.isNamed))
  const byClass = (role: LinearRole) => groups.find(({ targets }) => targets.exact.has(classOf(role)))
  return {
    weightsOf(names, role) {
      const group = byName(names) ?? byClass(role) ?? (groups.length === 1 ? groups[0] : undefined)
      if (group !== undefined) return group.weights
      throw new CheckpointError(file, `none of the "config_groups" is for ${names[0]}, whose weight is quantized`)
    },
  }
}

interface Targets {
  /** Names in full, and classes. */
  readonly exact: ReadonlySet<string>
  isNamed(name: string): boolean
}

function toTargets(targets: readonly string[], options: PatternOptions): Targets {
  const exact = new Set(targets.filter((target) => !target.startsWith('re:')))
  const patterns = targets
    .filter((target) => target.startsWith('re:'))
    .map((target) => createModulePattern(target.slice('re:'.length), options))
  return { exact, isNamed: (name) => exact.has(name) || patterns.some((isFound) => isFound(name)) }
}

function classOf(role: LinearRole): string {
  return role === 'embedding' ? 'Embedding' : 'Linear'
}

function toWeights(
  args: z.output<typeof weightArgs>,
  { file, name }: { readonly file: string; readonly name: string },
): CompressedWeights {
  const groupSize = args.group_size == null || args.group_size === -1 ? null : args.group_size
  const stated = args.strategy ?? (args.group_size == null ? 'tensor' : groupSize === null ? 'channel' : 'group')
  const strategy = strategies.find((known) => known === stated)
  if (strategy === undefined)
    throw new UnsupportedModelError(
      `${file}: weights with the strategy "${stated}" ("${name}") can't be read; those that can are ${strategies.join(', ')}`,
    )
  const block =
    typeof args.block_structure === 'string' ? args.block_structure.split('x').map(Number) : args.block_structure
  const [rows, cols] = block ?? []
  const isGrouped = strategy === 'group' || strategy === 'tensor_group'
  if (isGrouped && groupSize === null) throw new CheckpointError(file, `"${name}" has groups without a "group_size"`)
  const blockShape = rows === undefined || cols === undefined || rows < 1 || cols < 1 ? null : ([rows, cols] as const)
  if (strategy === 'block' && blockShape === null)
    throw new CheckpointError(file, `"${name}" has blocks without a "block_structure"`)
  return {
    numBits: args.num_bits,
    type: args.type,
    strategy,
    groupSize: isGrouped ? groupSize : null,
    blockShape: strategy === 'block' ? blockShape : null,
  }
}
