import { encodeGptq, gptqMismatch, QuantizationError } from '@octavo/core/quantization'
import type { GptqVersion, GroupedSpec } from '@octavo/core/quantization'
import type { CheckpointFormat, SavedModule } from './checkpoint-format.ts'

/** GPTQ's layout (AutoGPTQ, GPTQModel), version 1 as most readers expect it, or version 2. */
export function createGptqFormat(version: GptqVersion): CheckpointFormat {
  return {
    name: version,
    hasCacheScales: false,
    check,
    encode: (weight) => encodeGptq(weight, version),
    section: (modules) => section(modules, version),
  }
}

function check({ name, role, weight, inputActivations }: SavedModule): void {
  if (weight === null) return
  const refuse = (reason: string): never => {
    throw new QuantizationError(
      `GPTQ's layout can't hold it: ${reason}; leave it out (\`ignore\`), take another scheme, or save as compressed-tensors`,
      { module: name },
    )
  }
  const mismatch = gptqMismatch(weight)
  if (mismatch !== null) refuse(mismatch)
  if (role === 'embedding') refuse('it has no quantized embedding')
  if (inputActivations !== null) refuse('inputs are not rounded in it')
}

interface Shared {
  readonly bits: number
  readonly group_size: number
  readonly sym: boolean
  readonly desc_act: boolean
}

function sharedOf({ format }: GroupedSpec): Shared {
  const { bits, groupSize, hasZeros, hasOrder } = format
  return { bits, group_size: groupSize === 'channel' ? -1 : groupSize, sym: !hasZeros, desc_act: hasOrder }
}

/** What most modules share, and GPTQModel's `dynamic` for those that differ or are left as they were. */
function section(modules: readonly SavedModule[], version: GptqVersion): Record<string, unknown> {
  const quantized = modules.flatMap(({ name, role, weight }) =>
    weight === null ? [] : [{ name, role, shared: sharedOf(weight) }],
  )
  const common = mostFrequent(quantized.map(({ shared }) => shared))
  const dynamic: Record<string, object> = {}
  for (const { name, shared } of quantized)
    if (JSON.stringify(shared) !== JSON.stringify(common)) dynamic[`+:^${escapeName(name)}$`] = shared
  for (const { name, role, weight } of modules)
    if (weight === null && (role === 'linear' || role === 'expert')) dynamic[`-:^${escapeName(name)}$`] = {}
  return {
    quant_method: 'gptq',
    ...common,
    checkpoint_format: version,
    lm_head: quantized.some(({ role }) => role === 'head'),
    pack_dtype: 'int32',
    ...(Object.keys(dynamic).length > 0 && { dynamic }),
    meta: { quantizer: ['octavo'] },
  }
}

function mostFrequent(shared: readonly Shared[]): Shared | undefined {
  const counts = new Map<string, number>()
  for (const one of shared) counts.set(JSON.stringify(one), (counts.get(JSON.stringify(one)) ?? 0) + 1)
  const [first] = [...counts].sort(([, a], [, b]) => b - a)
  return first === undefined ? undefined : (JSON.parse(first[0]) as Shared)
}

/** A name as a pattern that matches it alone. */
export function escapeName(name: string): string {
  return name.replaceAll('.', '\\.')
}
