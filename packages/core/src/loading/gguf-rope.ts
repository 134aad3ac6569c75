import { CheckpointError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import type { GgufFields } from './gguf-architecture.ts'
import type { GgufModel } from './gguf.ts'

export function ggufHeadDim(fields: GgufFields): number {
  return (
    fields.number('attention.key_length') ??
    fields.requireCount('embedding_length') / fields.requireCount('attention.head_count')
  )
}

/**
 * What Hugging Face's config says of the rotary embedding. llama.cpp reads the `yarn_*` keys for some architectures only; its
 * converter writes them for all, from the config, so they mean here what they meant there.
 */
export function ggufRopeConfig(model: GgufModel, fields: GgufFields): JsonObject {
  const headDim = ggufHeadDim(fields)
  const rotaryDim = fields.number('rope.dimension_count')
  const isPartial = rotaryDim !== null && rotaryDim !== headDim
  return { rope_scaling: ropeScaling(model, fields), ...(isPartial && { partial_rotary_factor: rotaryDim / headDim }) }
}

/** The keys of `rope.scaling`, with their neutral values where they are absent. */
interface StatedScaling {
  readonly type: unknown
  /** `null`: none was stated. */
  readonly factor: number | null
  readonly original: { readonly original_max_position_embeddings?: number }
  /** Multiplies what the scaling itself makes of queries and keys. */
  readonly attentionFactor: number
}

function ropeScaling(model: GgufModel, fields: GgufFields): JsonObject | null {
  const originalLength = fields.number('rope.scaling.original_context_length')
  const stated: StatedScaling = {
    type: fields.get('rope.scaling.type'),
    factor: fields.number('rope.scaling.factor') || fields.number('rope.scale_linear') || null,
    original: originalLength === null ? {} : { original_max_position_embeddings: originalLength },
    attentionFactor: fields.number('rope.scaling.attn_factor') ?? 1,
  }
  const { type, factor } = stated
  const names = model.stored.names()
  if (names.includes('rope_factors_long.weight')) return longRopeScaling(model, fields, stated)
  const isYarn = type === 'yarn' && factor !== null
  refuseFactors(fields, isYarn)
  const divisors = names.includes('rope_freqs.weight') ? readDivisors(model, fields) : null
  if (divisors !== null) return divisorScaling(divisors, fields, stated)
  if (isYarn) {
    // gpt-oss blends without rounding where the blend begins and ends.
    const isExact = model.architecture.modelType === 'gpt_oss'
    const details = yarnDetails(fields, stated, factor)
    return { rope_type: 'yarn', factor, ...stated.original, ...details, ...(isExact && { truncate: false }) }
  }
  refuseAttentionFactor(fields, stated)
  if (type === 'none' || factor === null || factor === 1) return null
  if (type === 'linear' || type === null) return { rope_type: 'linear', factor }
  throw new CheckpointError(
    model.file,
    `rope scaling ${JSON.stringify(type)} is not supported; none, linear, yarn, longrope and llama3 are`,
  )
}

function longRopeScaling(model: GgufModel, fields: GgufFields, { original }: StatedScaling): JsonObject {
  const [longFactor, shortFactor] = ['long', 'short'].map((kind) => [
    ...model.stored.readFloat32(`rope_factors_${kind}.weight`),
  ])
  const attentionFactor = fields.number('rope.scaling.attn_factor')
  const attention = attentionFactor !== null && { attention_factor: attentionFactor }
  return { rope_type: 'longrope', long_factor: longFactor, short_factor: shortFactor, ...original, ...attention }
}

/** What would change the numbers and has no name in Hugging Face's config. */
function refuseFactors(fields: GgufFields, isYarn: boolean): void {
  const refuse = (name: string, isNeutral: (value: number) => boolean, neutral: string): void => {
    const value = fields.number(name)
    if (value !== null && !isNeutral(value)) fields.fail(name, `is ${value}; only ${neutral} is supported`)
  }
  // Negative: not set.
  if (isYarn) {
    refuse('rope.scaling.yarn_ext_factor', (value) => value === 1 || value < 0, '1')
    refuse('rope.scaling.yarn_log_multiplier', (value) => value === 0, '0')
  } else {
    refuse('rope.scaling.yarn_ext_factor', (value) => value <= 0, '0, without yarn,')
    refuse('rope.scaling.yarn_attn_factor', (value) => value === 1, '1, without yarn,')
  }
}

function refuseAttentionFactor(fields: GgufFields, { attentionFactor }: StatedScaling): void {
  if (attentionFactor !== 1)
    fields.fail('rope.scaling.attn_factor', `is ${attentionFactor}; it is supported with yarn and longrope only`)
}

function yarnDetails(fields: GgufFields, { attentionFactor }: StatedScaling, factor: number): JsonObject {
  const betaFast = fields.number('rope.scaling.yarn_beta_fast')
  const betaSlow = fields.number('rope.scaling.yarn_beta_slow')
  // It is HF's attention_factor, which replaces YaRN's own; 1 is the older attn_factor, which multiplies that.
  const stated = fields.number('rope.scaling.yarn_attn_factor') ?? 1
  const own = factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1
  const isOwn = stated === 1 && attentionFactor === 1
  return {
    ...(betaFast !== null && { beta_fast: betaFast }),
    ...(betaSlow !== null && { beta_slow: betaSlow }),
    ...(!isOwn && { attention_factor: attentionFactor * (stated === 1 ? own : stated) }),
  }
}

/** One divisor per frequency; `null` where they divide nothing. */
function readDivisors(model: GgufModel, fields: GgufFields): Float32Array | null {
  const divisors = model.stored.readFloat32('rope_freqs.weight')
  if (divisors.every((divisor) => divisor === 1)) return null
  const rotaryDim = rotaryDimOf(fields)
  const wrong = divisors.find((divisor) => !Number.isFinite(divisor) || divisor <= 0)
  if (wrong !== undefined || divisors.length !== rotaryDim / 2) {
    const reason =
      wrong === undefined
        ? `has ${divisors.length} factors for ${rotaryDim / 2} rotary frequencies`
        : `the factor ${wrong} is not a positive number`
    throw new CheckpointError(model.file, reason, { tensor: 'rope_freqs.weight' })
  }
  return divisors
}

function rotaryDimOf(fields: GgufFields): number {
  return fields.number('rope.dimension_count') ?? ggufHeadDim(fields)
}

/** llama3's, if there are parameters that give these divisors, else as LongRoPE with but one set of them. */
function divisorScaling(divisors: Float32Array, fields: GgufFields, stated: StatedScaling): JsonObject {
  const { type, original, attentionFactor } = stated
  const factor = type === 'none' ? 1 : (stated.factor ?? 1)
  if (factor !== 1 && type !== 'linear' && type !== null)
    return fields.fail(
      'rope.scaling.type',
      `is ${JSON.stringify(type)} beside rope_freqs.weight, which is not supported`,
    )
  const scaling =
    factor === 1 && attentionFactor === 1
      ? llama3RopeScaling(divisors, {
          ropeTheta: fields.number('rope.freq_base') ?? 10_000,
          rotaryDim: rotaryDimOf(fields),
          originalLength: original.original_max_position_embeddings ?? null,
        })
      : null
  if (scaling !== null) return { ...scaling }
  const all = [...divisors].map((divisor) => divisor * factor)
  return {
    rope_type: 'longrope',
    short_factor: all,
    long_factor: all,
    attention_factor: attentionFactor,
    // No prompt is long: both sets are the same, and its blocks may be shared.
    original_max_position_embeddings: fields.requireCount('context_length'),
  }
}

/** `rope_scaling` of a Llama 3.1 config. */
interface Llama3RopeScaling {
  readonly rope_type: 'llama3'
  readonly factor: number
  readonly low_freq_factor: number
  readonly high_freq_factor: number
  readonly original_max_position_embeddings: number
}

/** All published checkpoints have these; scaling both and the original length by one number would change nothing. */
const lowFreqFactor = 1
const highFreqFactor = 4

/**
 * llama.cpp keeps Llama 3.1's rope scaling only as its result: one divisor per rotary frequency. Finds the parameters that
 * give these divisors (the formula of transformers' `_compute_llama3_parameters`), or `null` where none do.
 */
function llama3RopeScaling(
  factors: Float32Array,
  rope: { ropeTheta: number; rotaryDim: number; originalLength: number | null },
): Llama3RopeScaling | null {
  const { ropeTheta, rotaryDim } = rope
  if (factors.length !== rotaryDim / 2) return null
  const wavelengths = Array.from(factors, (_, i) => 2 * Math.PI * ropeTheta ** ((2 * i) / rotaryDim))
  const factor = Math.fround(factors.reduce((a, b) => Math.max(a, b), 1))
  for (const originalLength of candidateLengths(factors, wavelengths, { factor, known: rope.originalLength })) {
    const matches = factors.every((value, i) => {
      const expected = llama3Divisor(wavelengths[i] ?? 0, factor, originalLength)
      return Math.abs(value - expected) <= 1e-4 * expected
    })
    if (!matches) continue
    return {
      rope_type: 'llama3',
      factor,
      low_freq_factor: lowFreqFactor,
      high_freq_factor: highFreqFactor,
      original_max_position_embeddings: originalLength,
    }
  }
  return null
}

function llama3Divisor(wavelength: number, factor: number, originalLength: number): number {
  if (wavelength < originalLength / highFreqFactor) return 1
  if (wavelength > originalLength / lowFreqFactor) return factor
  const smooth = (originalLength / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor)
  return 1 / ((1 - smooth) / factor + smooth)
}

/** The length stated or usual, and what each divisor between the two plateaus implies. */
function* candidateLengths(
  factors: Float32Array,
  wavelengths: readonly number[],
  options: { factor: number; known: number | null },
): Generator<number> {
  if (options.known !== null) yield options.known
  yield 8192
  for (const [i, value] of factors.entries()) {
    if (value <= 1.001 || value >= options.factor * 0.999) continue
    const smooth = (1 / value - 1 / options.factor) / (1 - 1 / options.factor)
    yield Math.round((wavelengths[i] ?? 0) * (lowFreqFactor + smooth * (highFreqFactor - lowFreqFactor)))
  }
  // No divisor in between: any length that puts the border between the plateaus where it is.
  const lastUnscaled = factors.lastIndexOf(1)
  const next = wavelengths[lastUnscaled + 1]
  if (next !== undefined) yield Math.round(Math.sqrt((wavelengths[lastUnscaled] ?? 1) * highFreqFactor * next))
}
