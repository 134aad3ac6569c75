import { emptyRopeParameters } from './hf-config.ts'
import type { HfConfig, HfRope } from './hf-config.ts'

/** How the rotary angles are stretched beyond the length that the model was first trained on. */
export type RopeScaling =
  | { readonly type: 'default' }
  /** Kaiokendev's position interpolation: every frequency is divided by `factor`. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Llama 3.1: long wavelengths are divided by `factor`, short ones kept, those between blended. */
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositions: number
    }
  /** YaRN (Peng et al. 2023, arXiv:2309.00071). */
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly truncate: boolean
      readonly attentionFactor: number
      readonly originalMaxPositions: number
    }
  /** LongRoPE (Ding et al. 2024, arXiv:2402.13753): one divisor per frequency, two sets of them. */
  | {
      readonly type: 'longrope'
      /** `[rotaryDim / 2]`, for sequences of up to `originalMaxPositions` tokens. */
      readonly shortFactors: readonly number[]
      /** `[rotaryDim / 2]`, for longer ones. */
      readonly longFactors: readonly number[]
      readonly attentionFactor: number
      readonly originalMaxPositions: number
    }

export interface RopeConfig {
  readonly theta: number
  /** How many of a head's dimensions are rotated; even. 0 where the model type has no rotary embedding. */
  readonly rotaryDim: number
  readonly scaling: RopeScaling
}

/** What a rope section takes from the rest of config.json. */
export interface RopeContext {
  readonly hf: HfConfig
  readonly headDim: number
  readonly maxPositions: number
  /** Throws a `CheckpointError` that names the key. */
  fail(key: string, reason: string): never
  /** Throws an `UnsupportedModelError`. */
  unsupported(message: string): never
}

export interface RopeConfigs {
  /** Of layers with full attention, and of all layers where the model makes no difference. */
  readonly full: RopeConfig
  /** Of layers with a sliding window. */
  readonly sliding: RopeConfig
}

/** Their positions are learned: a head's size may be odd. */
const withoutRotary: ReadonlySet<string> = new Set(['gpt2', 'bert', 'roberta', 'xlm-roberta', 'distilbert'])
const noRotary: RopeConfig = Object.freeze({ theta: 1, rotaryDim: 0, scaling: Object.freeze({ type: 'default' }) })

/** Reads `rope_theta` and `rope_scaling`, or `rope_parameters`, which may hold one section per layer type. */
export function parseRopeConfigs(context: RopeContext): RopeConfigs {
  const { hf } = context
  if (withoutRotary.has(hf.model_type)) return { full: noRotary, sliding: noRotary }
  const parameters = hf.rope_parameters ?? emptyRopeParameters
  const theta = parameters.rope_theta ?? hf.rope_theta ?? 10_000
  const nested = parameters.full_attention !== undefined || parameters.sliding_attention !== undefined
  const section = hf.rope_scaling ?? (nested ? (parameters.full_attention ?? emptyRopeParameters) : parameters)
  const full = parseRope(section, theta, context)
  if (hf.rope_local_base_freq === undefined && !nested) return { full, sliding: full }
  // Scaling stretches the full layers only: a window never sees far.
  return {
    full,
    sliding: parseRope(
      (nested ? parameters.sliding_attention : undefined) ?? emptyRopeParameters,
      hf.rope_local_base_freq ?? theta,
      context,
    ),
  }
}

function parseRope(section: HfRope, defaultTheta: number, context: RopeContext): RopeConfig {
  const { headDim, fail, hf } = context
  const theta = section.rope_theta ?? defaultTheta
  const fraction = section.partial_rotary_factor ?? hf.partial_rotary_factor ?? 1
  const rotaryDim = Math.trunc(headDim * fraction)
  if (rotaryDim < 2 || rotaryDim % 2 !== 0 || rotaryDim > headDim) {
    return fail(
      'partial_rotary_factor',
      `${fraction} of head_dim ${headDim} is not an even number of dimensions in [2, ${headDim}]`,
    )
  }
  return Object.freeze({
    theta,
    rotaryDim,
    scaling: Object.freeze(parseScaling(section, { theta, rotaryDim }, context)),
  })
}

function parseScaling(
  section: HfRope,
  { theta, rotaryDim }: Pick<RopeConfig, 'theta' | 'rotaryDim'>,
  context: RopeContext,
): RopeScaling {
  const { hf, fail, unsupported } = context
  const type = section.rope_type ?? section.type ?? 'default'
  // Early Phi-3 checkpoints call LongRoPE "su", and some "yarn".
  const isLongRope = type === 'longrope' || type === 'su' || (type === 'yarn' && hf.model_type === 'phi3')
  if (isLongRope) return parseLongRope(section, rotaryDim, context)
  switch (type) {
    case 'default':
      return { type: 'default' }
    case 'dynamic':
      // NTK scaling by sequence length changes nothing up to max_position_embeddings, which is as far as Octavo goes.
      return { type: 'default' }
    case 'linear':
      return { type: 'linear', factor: section.factor ?? fail('rope_scaling.factor', 'is missing') }
    case 'llama3':
      return {
        type: 'llama3',
        factor: section.factor ?? fail('rope_scaling.factor', 'is missing'),
        lowFreqFactor: section.low_freq_factor ?? fail('rope_scaling.low_freq_factor', 'is missing'),
        highFreqFactor: section.high_freq_factor ?? fail('rope_scaling.high_freq_factor', 'is missing'),
        originalMaxPositions: originalMaxPositions(section, context),
      }
    case 'yarn':
      if (theta <= 1) return fail('rope_theta', `${theta} must be larger than 1 for yarn`)
      return parseYarn(section, context)
    default:
      return unsupported(
        `rope_scaling type "${type}" is not supported; known are default, linear, dynamic, llama3, yarn and longrope.`,
      )
  }
}

function originalMaxPositions(section: HfRope, { hf, maxPositions }: RopeContext): number {
  return hf.original_max_position_embeddings ?? section.original_max_position_embeddings ?? maxPositions
}

function parseYarn(section: HfRope, context: RopeContext): RopeScaling {
  const original = originalMaxPositions(section, context)
  const factor = section.factor ?? context.maxPositions / original
  const { mscale, mscale_all_dim: mscaleAllDim } = section
  const inferred =
    mscale && mscaleAllDim ? yarnScale(factor, mscale) / yarnScale(factor, mscaleAllDim) : yarnScale(factor, 1)
  return {
    type: 'yarn',
    factor,
    betaFast: section.beta_fast || 32,
    betaSlow: section.beta_slow || 1,
    truncate: section.truncate ?? true,
    attentionFactor: section.attention_factor ?? inferred,
    originalMaxPositions: original,
  }
}

function yarnScale(factor: number, mscale: number): number {
  return factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1
}

function parseLongRope(section: HfRope, rotaryDim: number, context: RopeContext): RopeScaling {
  const { fail, maxPositions } = context
  const factors = (key: 'short_factor' | 'long_factor'): readonly number[] => {
    const values = section[key] ?? fail(`rope_scaling.${key}`, 'is missing')
    if (values.length !== rotaryDim / 2)
      fail(`rope_scaling.${key}`, `has ${values.length} values, expected ${rotaryDim / 2}`)
    return Object.freeze([...values])
  }
  const original = originalMaxPositions(section, context)
  const factor = section.factor ?? maxPositions / original
  const inferred = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original))
  return {
    type: 'longrope',
    shortFactors: factors('short_factor'),
    longFactors: factors('long_factor'),
    attentionFactor: section.attention_factor ?? inferred,
    originalMaxPositions: original,
  }
}
