import { z } from 'zod'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { isJsonObject } from '../util/json-object.ts'

/**
 * The keys of Hugging Face's config.json that Octavo reads, with limits: a hostile file must not lead to absurd
 * allocations. A key that is `null` counts as given, where `null` means "none", and as absent elsewhere.
 */
const count = (max: number) => z.int().min(1).max(max)
const positive = z.number().positive().max(1e12)
const tokenId = z
  .int()
  .min(0)
  .max(2 ** 24)
const absentIfNull = <T extends z.ZodType>(type: T) => type.nullish().transform((value) => value ?? undefined)
const flag = absentIfNull(z.boolean())

const maxLayers = 1024
const maxHeads = 4096
const maxPositions = 2 ** 24
export const maxLabels = 65_536

const factors = z.array(positive).max(4096)

const ropeShape = {
  rope_type: absentIfNull(z.string().max(64)),
  type: absentIfNull(z.string().max(64)),
  rope_theta: absentIfNull(positive),
  partial_rotary_factor: absentIfNull(z.number().positive().max(1)),
  factor: absentIfNull(positive),
  original_max_position_embeddings: absentIfNull(count(maxPositions)),
  attention_factor: absentIfNull(positive),
  beta_fast: absentIfNull(z.number().min(0).max(1e6)),
  beta_slow: absentIfNull(z.number().min(0).max(1e6)),
  mscale: absentIfNull(z.number().min(0).max(1e3)),
  mscale_all_dim: absentIfNull(z.number().min(0).max(1e3)),
  truncate: flag,
  low_freq_factor: absentIfNull(positive),
  high_freq_factor: absentIfNull(positive),
  short_factor: absentIfNull(factors),
  long_factor: absentIfNull(factors),
}
const ropeSection = z.object(ropeShape)
const ropeParameters = z.object({
  ...ropeShape,
  full_attention: absentIfNull(ropeSection),
  sliding_attention: absentIfNull(ropeSection),
})

const schema = z.object({
  architectures: z.array(z.string().max(200)).min(1).max(16),
  model_type: z.string().min(1).max(100),
  vocab_size: count(2 ** 23),
  hidden_size: count(2 ** 17),
  intermediate_size: absentIfNull(count(2 ** 20)),
  num_hidden_layers: count(maxLayers),
  num_attention_heads: count(maxHeads),
  num_key_value_heads: absentIfNull(count(maxHeads)),
  head_dim: absentIfNull(count(4096)),
  max_position_embeddings: count(maxPositions),
  original_max_position_embeddings: absentIfNull(count(maxPositions)),
  norm_epsilon: z.number().min(0).max(1),
  activation: z.string().max(64),
  tie_word_embeddings: flag,
  attention_bias: flag,
  mlp_bias: flag,
  rope_theta: absentIfNull(positive),
  rope_local_base_freq: absentIfNull(positive),
  rope_scaling: absentIfNull(ropeSection),
  rope_parameters: absentIfNull(ropeParameters),
  partial_rotary_factor: absentIfNull(z.number().positive().max(1)),
  sliding_window: absentIfNull(count(maxPositions)),
  use_sliding_window: flag,
  max_window_layers: absentIfNull(z.int().min(0).max(maxLayers)),
  sliding_window_pattern: absentIfNull(count(maxLayers)),
  layer_types: absentIfNull(z.array(z.string().max(64)).max(maxLayers)),
  query_pre_attn_scalar: absentIfNull(positive),
  attn_logit_softcapping: absentIfNull(positive),
  final_logit_softcapping: absentIfNull(positive),
  num_experts: absentIfNull(count(4096)),
  num_experts_per_tok: absentIfNull(count(4096)),
  moe_intermediate_size: absentIfNull(count(2 ** 20)),
  norm_topk_prob: flag,
  decoder_sparse_step: absentIfNull(count(maxLayers)),
  mlp_only_layers: absentIfNull(z.array(z.int().min(0).max(maxLayers)).max(maxLayers)),
  scale_attn_weights: flag,
  scale_attn_by_inverse_layer_idx: flag,
  use_bidirectional_attention: absentIfNull(z.union([z.boolean(), z.string().max(64)])),
  swiglu_limit: absentIfNull(positive),
  eos_token_id: absentIfNull(z.union([tokenId, z.array(tokenId).max(64)])),
  // Of encoders.
  type_vocab_size: absentIfNull(z.int().min(0).max(1024)),
  pad_token_id: absentIfNull(tokenId),
  position_embedding_type: absentIfNull(z.string().max(64)),
  is_decoder: flag,
  local_attention: absentIfNull(count(maxPositions)),
  global_attn_every_n_layers: absentIfNull(count(maxLayers)),
  classifier_bias: flag,
  classifier_activation: absentIfNull(z.string().max(64)),
  classifier_pooling: absentIfNull(z.string().max(64)),
  prenorm: flag,
  use_rms_norm: flag,
  parallel_block: flag,
  causal: flag,
  rotary_scaling_factor: absentIfNull(positive),
  max_trained_positions: absentIfNull(count(maxPositions)),
  // Of classifiers and embedders.
  id2label: absentIfNull(z.record(z.string().max(16), z.union([z.string().max(1000), z.number()]))),
  num_labels: absentIfNull(count(maxLabels)),
  problem_type: absentIfNull(z.string().max(64)),
  sentence_transformers: absentIfNull(z.object({ activation_fn: absentIfNull(z.string().max(200)) })),
  sbert_ce_default_activation_function: absentIfNull(z.string().max(200)),
  use_sep_token: flag,
  is_matryoshka: flag,
  matryoshka_dimensions: absentIfNull(z.array(count(2 ** 17)).max(1024)),
  dtype: absentIfNull(z.string().max(64)),
})

export type HfConfig = z.output<typeof schema>
export type HfRope = z.output<typeof ropeSection>
export const emptyRopeParameters = ropeParameters.parse({})

/** Other names that files use for a key, tried in order before the key itself is missing. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  hidden_size: ['n_embd', 'dim'],
  intermediate_size: ['n_inner', 'hidden_dim'],
  num_hidden_layers: ['n_layer', 'n_layers'],
  num_attention_heads: ['n_head', 'n_heads'],
  max_position_embeddings: ['n_positions', 'n_ctx'],
  norm_epsilon: ['rms_norm_eps', 'layer_norm_epsilon', 'layer_norm_eps', 'norm_eps'],
  activation: ['hidden_activation', 'hidden_act', 'activation_function'],
  num_experts: ['num_local_experts'],
  rope_theta: ['global_rope_theta', 'rotary_emb_base'],
  partial_rotary_factor: ['rotary_emb_fraction'],
  rope_local_base_freq: ['local_rope_theta'],
  dtype: ['torch_dtype'],
}

/** What to call a key in messages that goes by another name in the schema above. */
const usualNames: Readonly<Record<string, string>> = { norm_epsilon: 'rms_norm_eps', activation: 'hidden_act' }

const gemmaDefaults = { tie_word_embeddings: true, head_dim: 256, query_pre_attn_scalar: 256, num_key_value_heads: 4 }

const bertDefaults = { activation: 'gelu', norm_epsilon: 1e-12, max_position_embeddings: 512, type_vocab_size: 2 }

/**
 * Values that a config.json may leave out because they are the defaults of its model type
 * (transformers' configuration classes). A type that always writes all its keys needs no entry.
 */
const defaults: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  llama: { max_position_embeddings: 2048 },
  mistral: { sliding_window: 4096 },
  mixtral: { rope_theta: 1_000_000, norm_epsilon: 1e-5, num_experts: 8, num_experts_per_tok: 2 },
  qwen2: { sliding_window: 4096, max_window_layers: 28 },
  qwen3: { sliding_window: 4096, max_window_layers: 28, head_dim: 128 },
  qwen3_moe: { sliding_window: 4096, num_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 768 },
  gemma2: { ...gemmaDefaults, attn_logit_softcapping: 50, final_logit_softcapping: 30, sliding_window: 4096 },
  gemma3_text: {
    ...gemmaDefaults,
    max_position_embeddings: 131_072,
    num_attention_heads: 8,
    rope_theta: 1_000_000,
    rope_local_base_freq: 10_000,
    sliding_window: 4096,
    sliding_window_pattern: 6,
    vocab_size: 262_208,
  },
  phi3: { norm_epsilon: 1e-5 },
  olmo2: { norm_epsilon: 1e-5 },
  gpt2: { tie_word_embeddings: true, activation: 'gelu_new', norm_epsilon: 1e-5 },
  bert: { ...bertDefaults, pad_token_id: 0 },
  roberta: { ...bertDefaults, pad_token_id: 1 },
  'xlm-roberta': { ...bertDefaults, pad_token_id: 1 },
  distilbert: { ...bertDefaults, pad_token_id: 0, type_vocab_size: 0 },
  nomic_bert: { ...bertDefaults, activation: 'silu', rope_theta: 1000, pad_token_id: 0 },
  modernbert: {
    activation: 'gelu',
    norm_epsilon: 1e-5,
    max_position_embeddings: 8192,
    rope_theta: 160_000,
    rope_local_base_freq: 10_000,
    local_attention: 128,
    global_attn_every_n_layers: 3,
    classifier_activation: 'gelu',
    classifier_pooling: 'cls',
  },
  gpt_oss: {
    attention_bias: true,
    head_dim: 64,
    norm_epsilon: 1e-5,
    num_experts: 128,
    num_experts_per_tok: 4,
    rope_theta: 150_000,
    rope_parameters: { rope_type: 'yarn', factor: 32, truncate: false, original_max_position_embeddings: 4096 },
    sliding_window: 128,
  },
}
const commonDefaults = { norm_epsilon: 1e-6 }

/** Gemma's real activation stands in `hidden_activation`; its `hidden_act` is a leftover. */
const activationDefaults: Readonly<Record<string, string>> = {
  gemma2: 'gelu_pytorch_tanh',
  gemma3_text: 'gelu_pytorch_tanh',
}

/**
 * Validates the keys that Octavo reads; all others are left alone. A multimodal model's `text_config` stands for it.
 *
 * @throws CheckpointError naming the key that is missing or wrong
 */
export function parseHfConfig(json: Readonly<Record<string, unknown>>, file: string): HfConfig {
  const text = json['text_config']
  const raw = isJsonObject(text)
    ? { ...text, architectures: json['architectures'], ...multimodalOverrides(json, text) }
    : json
  const modelType = typeof raw['model_type'] === 'string' ? raw['model_type'] : ''
  const result = schema.safeParse(withDefaults(raw, modelType))
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const [first, ...rest] = issue?.path ?? ['config.json']
  const key = [givenName(raw, String(first)), ...rest].map(String).join('.')
  const reason = `"${key}": ${describeIssue(raw, issue)}`
  if (modelType === '' || Object.hasOwn(defaults, modelType)) throw new CheckpointError(file, reason)
  throw new UnsupportedModelError(
    `${file}: the model type ${JSON.stringify(modelType.slice(0, 100))} is not known, and ${reason}`,
  )
}

function withDefaults(raw: Readonly<Record<string, unknown>>, modelType: string): Record<string, unknown> {
  const known = Object.hasOwn(defaults, modelType) ? defaults[modelType] : {}
  const resolved: Record<string, unknown> = { ...commonDefaults, ...known }
  for (const key of Object.keys(schema.shape)) {
    for (const name of [key, ...(aliases[key] ?? [])]) {
      if (!Object.hasOwn(raw, name)) continue
      if (name === 'hidden_act' && Object.hasOwn(activationDefaults, modelType)) continue
      if (raw[name] === null && !nullMeansNone.has(key)) continue
      resolved[key] = raw[name]
      break
    }
  }
  if (Object.hasOwn(activationDefaults, modelType)) resolved['activation'] ??= activationDefaults[modelType]
  return resolved
}

/** For these, an explicit `null` switches the feature off rather than asking for the default. */
const nullMeansNone = new Set([
  'sliding_window',
  'attn_logit_softcapping',
  'final_logit_softcapping',
  'num_key_value_heads',
  'head_dim',
])

/** Some multimodal files keep tying and end-of-sequence beside `text_config`. */
function multimodalOverrides(
  json: Readonly<Record<string, unknown>>,
  text: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const overrides: Record<string, unknown> = {}
  for (const key of ['tie_word_embeddings', 'eos_token_id', 'dtype', 'torch_dtype']) {
    if (text[key] === undefined && json[key] !== undefined) overrides[key] = json[key]
  }
  return overrides
}

function givenName(raw: Readonly<Record<string, unknown>>, key: string): string {
  const given = [key, ...(aliases[key] ?? [])].find((name) => Object.hasOwn(raw, name))
  return given ?? (Object.hasOwn(usualNames, key) ? usualNames[key] : undefined) ?? key
}

function describeIssue(raw: Readonly<Record<string, unknown>>, issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return 'is not valid'
  const value = raw[givenName(raw, String(issue.path[0]))]
  if (value === undefined) return 'is missing'
  return `${issue.message} (found ${JSON.stringify(value).slice(0, 80)})`
}
