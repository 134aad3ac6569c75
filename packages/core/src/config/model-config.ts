import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { DType } from '../tensor/dtype.ts'
import { type ModelActivation, parseActivation } from './activation.ts'
import { findArchitecture, type ModelHead, type MoreArchitectures, unsupportedArchitecture } from './architectures.ts'
import { checkEncoderType, type EncoderConfig, parseEncoder } from './encoder-config.ts'
import { parseHfConfig } from './hf-config.ts'
import type { HfConfig } from './hf-config.ts'
import { type ModelPooling, parseModelPooling } from './model-pooling.ts'
import { parseRopeConfigs } from './rope-config.ts'
import type { RopeConfig } from './rope-config.ts'

export type LayerType = 'full' | 'sliding'

export interface MoeConfig {
  readonly numExperts: number
  readonly numExpertsPerToken: number
  readonly intermediateSize: number
  /** Divide the chosen experts' probabilities by their sum. */
  readonly normTopkProb: boolean
  /** Per layer: whether its MLP is a mixture of experts. */
  readonly layers: readonly boolean[] // [numLayers]
}

/** A checkpoint's config.json, checked, completed with its model type's defaults, and frozen. */
export interface ModelConfig {
  /** Where it was read, for messages. */
  readonly file: string
  readonly architecture: string
  readonly modelType: string
  /** What stands on its stack, by the architecture's name; the head over the vocabulary where that is not known. */
  readonly head: ModelHead
  /** Of a model whose tokens see each other, before and behind; `null` for decoders. */
  readonly encoder: EncoderConfig | null
  readonly pooling: ModelPooling
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  /** The longest sequence that the model can attend to, rope scaling included. */
  readonly maxPositionEmbeddings: number
  /**
   * LongRoPE models rotate a prompt of more tokens than this with other factors than a shorter one, so that KV blocks
   * must not be shared between the two kinds; `null` for all other models.
   */
  readonly longPromptThreshold: number | null
  readonly activation: ModelActivation
  readonly normEpsilon: number
  /** `null` where the file is silent: then embeddings are tied if there is no lm_head tensor. */
  readonly hasTiedEmbeddings: boolean | null
  readonly hasAttentionBias: boolean
  readonly hasMlpBias: boolean
  /** Of layers with full attention, and of all layers where the model makes no difference. */
  readonly rope: RopeConfig
  /** Of layers with a sliding window. */
  readonly slidingRope: RopeConfig
  readonly layerTypes: readonly LayerType[] // [numLayers]
  /** Tokens that a sliding layer attends to, its own included. */
  readonly slidingWindow: number | null
  /** Gemma: attention scores are multiplied by this ** -0.5 instead of headDim ** -0.5. */
  readonly queryPreAttnScalar: number | null
  readonly attentionSoftcap: number | null
  readonly finalSoftcap: number | null
  /** GPT-2: whether scores are multiplied by headDim ** -0.5, and whether they are divided by the layer's number. */
  readonly isAttentionScaled: boolean
  readonly isAttentionScaledByLayer: boolean
  readonly moe: MoeConfig | null
  readonly eosTokenIds: readonly number[]
  /** What the weights are said to be stored in; each tensor states its own format. */
  readonly dtype: DType | null
}

/**
 * The only reader of config.json.
 *
 * @param file named in error messages
 * @param more architectures from outside
 * @throws CheckpointError naming the key that is missing, wrong or beyond its limit
 * @throws UnsupportedModelError for features that Octavo does not have; for an architecture that it
 * does not know and can't read, whatever else is wrong with the file
 */
export function parseModelConfig(
  json: Readonly<Record<string, unknown>>,
  file: string,
  more: MoreArchitectures = {},
): ModelConfig {
  const names = json['architectures']
  const architecture: unknown = Array.isArray(names) ? names[0] : undefined
  if (typeof architecture === 'string' && Object.hasOwn(more, architecture))
    return parseKeys(more[architecture]?.readConfig?.(json) ?? json, file)
  if (typeof architecture !== 'string' || findArchitecture(architecture) !== null) return parseKeys(json, file)
  try {
    return parseKeys(json, file)
  } catch (error) {
    throw unsupportedArchitecture(architecture, file, { cause: error })
  }
}

function parseKeys(json: Readonly<Record<string, unknown>>, file: string): ModelConfig {
  const hf = parseHfConfig(json, file)
  const fail = (key: string, reason: string): never => {
    throw new CheckpointError(file, `"${key}": ${reason}`)
  }
  const unsupported = (message: string): never => {
    throw new UnsupportedModelError(`${file}: ${message}`)
  }
  refuseUnknownFeatures(hf, unsupported)
  const headDim = hf.head_dim ?? resolveHeadDim(hf, fail)
  const ropes = parseRopeConfigs({ hf, headDim, maxPositions: hf.max_position_embeddings, fail, unsupported })
  const { scaling } = ropes.full
  const numKvHeads = hf.num_key_value_heads ?? hf.num_attention_heads
  if (hf.num_attention_heads % numKvHeads !== 0) {
    fail('num_key_value_heads', `${numKvHeads} does not divide num_attention_heads ${hf.num_attention_heads}`)
  }
  const architecture = hf.architectures[0] ?? fail('architectures', 'is empty')
  const known = findArchitecture(architecture)
  const head = known?.head ?? 'tokens'
  const encoder = parseEncoder(hf, { fail, unsupported })
  checkEncoderType(known, encoder, { hf, fail })
  return Object.freeze<ModelConfig>({
    file,
    architecture,
    modelType: hf.model_type,
    head,
    encoder,
    pooling: parseModelPooling(hf, head, { fail, unsupported }),
    vocabSize: hf.vocab_size,
    hiddenSize: hf.hidden_size,
    intermediateSize: hf.intermediate_size ?? 4 * hf.hidden_size,
    numLayers: hf.num_hidden_layers,
    numHeads: hf.num_attention_heads,
    numKvHeads,
    headDim,
    maxPositionEmbeddings:
      scaling.type === 'yarn'
        ? Math.max(hf.max_position_embeddings, Math.round(scaling.originalMaxPositions * scaling.factor))
        : Math.min(hf.max_position_embeddings, hf.max_trained_positions ?? Infinity) - (encoder?.firstPosition ?? 0),
    longPromptThreshold: scaling.type === 'longrope' ? scaling.originalMaxPositions : null,
    activation: parseActivation(hf.activation, unsupported),
    normEpsilon: hf.norm_epsilon,
    hasTiedEmbeddings: hf.tie_word_embeddings ?? null,
    hasAttentionBias: hf.attention_bias ?? false,
    hasMlpBias: hf.mlp_bias ?? false,
    rope: ropes.full,
    slidingRope: ropes.sliding,
    ...resolveLayers(hf, fail, unsupported),
    queryPreAttnScalar: hf.query_pre_attn_scalar ?? null,
    attentionSoftcap: hf.attn_logit_softcapping ?? null,
    finalSoftcap: hf.final_logit_softcapping ?? null,
    isAttentionScaled: hf.scale_attn_weights ?? true,
    isAttentionScaledByLayer: hf.scale_attn_by_inverse_layer_idx ?? false,
    moe: parseMoe(hf, fail),
    eosTokenIds: Object.freeze(idList(hf.eos_token_id)),
    dtype: hf.dtype === 'float32' || hf.dtype === 'float16' || hf.dtype === 'bfloat16' ? hf.dtype : null,
  })
}

type Fail = (key: string, reason: string) => never
type Unsupported = (message: string) => never

function refuseUnknownFeatures(hf: HfConfig, unsupported: Unsupported): void {
  if (hf.use_bidirectional_attention)
    unsupported('bidirectional attention (use_bidirectional_attention) is not supported.')
  if (hf.swiglu_limit !== undefined && hf.swiglu_limit !== 7) {
    unsupported(`swiglu_limit ${hf.swiglu_limit} is not supported; gpt-oss models have 7.`)
  }
}

function resolveHeadDim(hf: HfConfig, fail: Fail): number {
  if (hf.hidden_size % hf.num_attention_heads === 0) return hf.hidden_size / hf.num_attention_heads
  return fail(
    'num_attention_heads',
    `${hf.num_attention_heads} does not divide hidden_size ${hf.hidden_size}, and there is no head_dim`,
  )
}

/** Which layers slide when the file does not list them (`layer_types`), by model type; all others have full attention. */
const slidingRules: Readonly<Record<string, (hf: HfConfig, layer: number) => boolean>> = {
  mistral: () => true,
  mixtral: () => true,
  phi3: () => true,
  qwen2: (hf, layer) => layer >= (hf.max_window_layers ?? 0),
  qwen3: (hf, layer) => layer >= (hf.max_window_layers ?? 0),
  qwen3_moe: () => true,
  gemma2: (_, layer) => layer % 2 === 0,
  gemma3_text: (hf, layer) => (layer + 1) % (hf.sliding_window_pattern ?? 6) !== 0,
  gpt_oss: (_, layer) => layer % 2 === 0,
  modernbert: (hf, layer) => layer % (hf.global_attn_every_n_layers ?? 3) !== 0,
}
/** In these the window holds for every layer, whatever `layer_types` says. */
const alwaysSliding = new Set(['mistral', 'mixtral', 'phi3', 'qwen3_moe'])
/** In these a window counts only with `use_sliding_window`. */
const optInSliding = new Set(['qwen2', 'qwen3', 'qwen3_moe'])

function resolveLayers(
  hf: HfConfig,
  fail: Fail,
  unsupported: Unsupported,
): Pick<ModelConfig, 'layerTypes' | 'slidingWindow'> {
  const { model_type: type, num_hidden_layers: numLayers, layer_types: listed } = hf
  if (listed !== undefined && listed.length !== numLayers) {
    fail('layer_types', `has ${listed.length} entries for num_hidden_layers ${numLayers}`)
  }
  const unknown = listed?.find((name) => name !== 'full_attention' && name !== 'sliding_attention')
  if (unknown !== undefined)
    unsupported(`layer_types has "${unknown}"; known are full_attention and sliding_attention.`)
  const rule = Object.hasOwn(slidingRules, type) ? slidingRules[type] : undefined
  const isOff = rule === undefined || (optInSliding.has(type) && hf.use_sliding_window !== true)
  // ModernBERT's counts the tokens on both sides.
  const window = hf.local_attention === undefined ? hf.sliding_window : Math.floor(hf.local_attention / 2) + 1
  const slidingWindow = isOff ? null : (window ?? null)
  const isSliding = (layer: number): boolean => {
    if (slidingWindow === null || rule === undefined) return false
    return listed !== undefined && !alwaysSliding.has(type) ? listed[layer] === 'sliding_attention' : rule(hf, layer)
  }
  const layerTypes = Array.from({ length: numLayers }, (_, layer): LayerType => (isSliding(layer) ? 'sliding' : 'full'))
  return { layerTypes: Object.freeze(layerTypes), slidingWindow }
}

function parseMoe(hf: HfConfig, fail: Fail): MoeConfig | null {
  if (hf.num_experts === undefined) return null
  const numExpertsPerToken = hf.num_experts_per_tok ?? fail('num_experts_per_tok', 'is missing')
  if (numExpertsPerToken > hf.num_experts)
    fail('num_experts_per_tok', `${numExpertsPerToken} is more than the ${hf.num_experts} experts`)
  const dense = new Set(hf.mlp_only_layers)
  const step = hf.decoder_sparse_step ?? 1
  return Object.freeze({
    numExperts: hf.num_experts,
    numExpertsPerToken,
    intermediateSize: hf.moe_intermediate_size ?? hf.intermediate_size ?? fail('intermediate_size', 'is missing'),
    normTopkProb: hf.norm_topk_prob ?? false,
    layers: Object.freeze(
      Array.from({ length: hf.num_hidden_layers }, (_, layer) => !dense.has(layer) && (layer + 1) % step === 0),
    ),
  })
}

function idList(ids: number | number[] | undefined): number[] {
  if (ids === undefined) return []
  return typeof ids === 'number' ? [ids] : [...new Set(ids)]
}
