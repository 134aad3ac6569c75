import { CheckpointError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import { GgufFields } from './gguf-architecture.ts'
import type { GgufMetadata } from './gguf-header.ts'
import type { GgufModel } from './gguf.ts'
import { llama3RopeScaling } from './gguf-rope.ts'

/** config.json as Hugging Face would have it, rebuilt from GGUF metadata (keys: llama.cpp, gguf-py/gguf/constants.py). */
export function ggufConfig(model: GgufModel): JsonObject {
  const { architecture, metadata, file } = model
  const fields = new GgufFields(metadata, architecture.key, file)
  const config: JsonObject = {
    architectures: [architecture.architecture],
    model_type: architecture.modelType,
    vocab_size: vocabSize(model),
    tie_word_embeddings: model.stored.names().every((name) => name !== 'output.weight'),
    ...tokenIds(metadata),
  }
  if (architecture.key === 'gpt2') return { ...config, ...gpt2Config(fields) }
  return { ...config, ...decoderConfig(fields), ...ropeConfig(model, fields), ...familyConfig(model, fields) }
}

/** generation_config.json: every token that ends a turn. */
export function ggufGenerationConfig(metadata: GgufMetadata): JsonObject | null {
  const eos = ['eos', 'eot', 'eom']
    .map((name) => metadata[`tokenizer.ggml.${name}_token_id`])
    .filter((id) => typeof id === 'number')
  if (eos.length === 0) return null
  return { ...tokenIds(metadata), eos_token_id: [...new Set(eos)] }
}

function tokenIds(metadata: GgufMetadata): JsonObject {
  const ids: JsonObject = {}
  for (const [key, ggufKey] of [
    ['bos', 'bos'],
    ['eos', 'eos'],
    ['pad', 'padding'],
  ] as const) {
    const id = metadata[`tokenizer.ggml.${ggufKey}_token_id`]
    if (typeof id === 'number') ids[`${key}_token_id`] = id
  }
  return ids
}

/** The embedding's rows count, not the metadata: the matrix may be padded. */
function vocabSize(model: GgufModel): number {
  const embedding = model.stored.get('token_embd.weight')
  const rows = embedding?.shape.length === 2 ? embedding.shape[0] : undefined
  if (rows === undefined)
    throw new CheckpointError(model.file, 'missing, or not a matrix', { tensor: 'token_embd.weight' })
  return rows
}

function gpt2Config(fields: GgufFields): JsonObject {
  const contextLength = fields.requireCount('context_length')
  return {
    n_embd: fields.requireCount('embedding_length'),
    n_layer: fields.requireCount('block_count'),
    n_head: fields.requireCount('attention.head_count'),
    n_inner: fields.requireCount('feed_forward_length'),
    n_positions: contextLength,
    n_ctx: contextLength,
    layer_norm_epsilon: fields.requireNumber('attention.layer_norm_epsilon'),
    activation_function: 'gelu_new',
  }
}

function decoderConfig(fields: GgufFields): JsonObject {
  const hiddenSize = fields.requireCount('embedding_length')
  const numHeads = fields.requireCount('attention.head_count')
  return {
    hidden_size: hiddenSize,
    num_hidden_layers: fields.requireCount('block_count'),
    num_attention_heads: numHeads,
    num_key_value_heads: fields.number('attention.head_count_kv') ?? numHeads,
    head_dim: headDim(fields),
    intermediate_size: fields.number('feed_forward_length') ?? fields.requireCount('expert_feed_forward_length'),
    max_position_embeddings: fields.requireCount('context_length'),
    rms_norm_eps: fields.requireNumber('attention.layer_norm_rms_epsilon'),
    rope_theta: fields.number('rope.freq_base') ?? 10_000,
    hidden_act: 'silu',
  }
}

function headDim(fields: GgufFields): number {
  return (
    fields.number('attention.key_length') ??
    fields.requireCount('embedding_length') / fields.requireCount('attention.head_count')
  )
}

function ropeConfig(model: GgufModel, fields: GgufFields): JsonObject {
  const scaling = ropeScaling(model, fields)
  const rotaryDim = fields.number('rope.dimension_count')
  const isPartial = rotaryDim !== null && rotaryDim !== headDim(fields)
  return { rope_scaling: scaling, ...(isPartial && { partial_rotary_factor: rotaryDim / headDim(fields) }) }
}

function ropeScaling(model: GgufModel, fields: GgufFields): JsonObject | null {
  const type = fields.get('rope.scaling.type')
  const factor = fields.number('rope.scaling.factor') ?? fields.number('rope.scale_linear')
  const originalLength = fields.number('rope.scaling.original_context_length')
  const original = originalLength !== null && { original_max_position_embeddings: originalLength }
  const attentionFactor = fields.number('rope.scaling.attn_factor')
  const names = model.stored.names()
  if (names.includes('rope_factors_long.weight')) {
    const [longFactor, shortFactor] = ['long', 'short'].map((kind) => [
      ...model.stored.readFloat32(`rope_factors_${kind}.weight`),
    ])
    const attention = attentionFactor !== null && { attention_factor: attentionFactor }
    return { rope_type: 'longrope', long_factor: longFactor, short_factor: shortFactor, ...original, ...attention }
  }
  if (names.includes('rope_freqs.weight')) return factorScaling(model, fields, originalLength)
  if (type === 'yarn' && factor !== null)
    return { rope_type: 'yarn', factor, ...original, ...yarnDetails(fields, factor, attentionFactor) }
  if (factor !== null && factor !== 1 && (type === 'linear' || type === null)) return { rope_type: 'linear', factor }
  if (type === null || type === 'none' || factor === null || factor === 1) return null
  throw new CheckpointError(
    model.file,
    `rope scaling ${JSON.stringify(type)} is not supported; none, linear, yarn, longrope and llama3 are`,
  )
}

function yarnDetails(fields: GgufFields, factor: number, attentionFactor: number | null): JsonObject {
  const betaFast = fields.number('rope.scaling.yarn_beta_fast')
  const betaSlow = fields.number('rope.scaling.yarn_beta_slow')
  // llama.cpp multiplies its factors with YaRN's own 0.1 ln(s) + 1; HF's attention_factor replaces it.
  const multiplier = (attentionFactor ?? 1) * (fields.number('rope.scaling.yarn_attn_factor') ?? 1)
  const attention = multiplier !== 1 && { attention_factor: multiplier * (0.1 * Math.log(factor) + 1) }
  return {
    ...(betaFast !== null && { beta_fast: betaFast }),
    ...(betaSlow !== null && { beta_slow: betaSlow }),
    ...attention,
  }
}

/** One divisor per frequency: llama3's, if there are parameters that give them, else as LongRoPE with but one set of them. */
function factorScaling(model: GgufModel, fields: GgufFields, originalLength: number | null): JsonObject | null {
  const factors = model.stored.readFloat32('rope_freqs.weight')
  if (factors.every((factor) => factor === 1)) return null
  const rotaryDim = fields.number('rope.dimension_count') ?? headDim(fields)
  const wrong = factors.find((factor) => !Number.isFinite(factor) || factor <= 0)
  if (wrong !== undefined || factors.length !== rotaryDim / 2) {
    const reason =
      wrong === undefined
        ? `has ${factors.length} factors for ${rotaryDim / 2} rotary frequencies`
        : `the factor ${wrong} is not a positive number`
    throw new CheckpointError(model.file, reason, { tensor: 'rope_freqs.weight' })
  }
  const scaling = llama3RopeScaling(factors, {
    ropeTheta: fields.number('rope.freq_base') ?? 10_000,
    rotaryDim,
    originalLength,
  })
  if (scaling !== null) return { ...scaling }
  const [short, long] = [[...factors], [...factors]]
  return {
    rope_type: 'longrope',
    short_factor: short,
    long_factor: long,
    attention_factor: fields.number('rope.scaling.attn_factor') ?? 1,
    // No prompt is long: both sets are the same, and its blocks may be shared.
    original_max_position_embeddings: fields.requireCount('context_length'),
  }
}

function familyConfig(model: GgufModel, fields: GgufFields): JsonObject {
  // Files say 0 where there is no window: every Phi does.
  const stated = fields.number('attention.sliding_window')
  const window = stated === 0 ? null : stated
  switch (model.architecture.modelType) {
    case 'llama':
      return {
        attention_bias: model.stored.names().includes('blk.0.attn_q.bias'),
        mlp_bias: false,
        ...slidingMistral(window),
      }
    case 'mixtral':
      return { ...expertCounts(fields, 'num_local_experts'), sliding_window: window }
    case 'qwen2':
      return { use_sliding_window: false }
    case 'qwen3_moe':
      return {
        ...expertCounts(fields, 'num_experts'),
        moe_intermediate_size: fields.requireCount('expert_feed_forward_length'),
        norm_topk_prob: true, // as llama.cpp builds this architecture
        decoder_sparse_step: 1,
        mlp_only_layers: [],
      }
    case 'gemma2':
      return {
        ...gemmaConfig(fields, 46),
        sliding_window: stated === null ? 4096 : window,
        attn_logit_softcapping: fields.number('attn_logit_softcapping') ?? 50,
        final_logit_softcapping: fields.number('final_logit_softcapping') ?? 30,
      }
    case 'gemma3_text':
      return {
        ...gemmaConfig(fields, 62),
        sliding_window: stated === null ? 1024 : window,
        rope_local_base_freq: fields.number('rope.freq_base_swa') ?? 10_000,
        attn_logit_softcapping: null,
        final_logit_softcapping: fields.number('final_logit_softcapping'),
        ...slidingPattern(fields),
      }
    case 'phi3':
      return {
        sliding_window: window,
        original_max_position_embeddings: fields.number('rope.scaling.original_context_length'),
      }
    default:
      return {}
  }
}

/** Mistral's files call themselves llama; only its window tells. */
function slidingMistral(window: number | null): JsonObject {
  return window === null ? {} : { architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: window }
}

function expertCounts(fields: GgufFields, key: string): JsonObject {
  return { [key]: fields.requireCount('expert_count'), num_experts_per_tok: fields.requireCount('expert_used_count') }
}

/**
 * Few files state the attention scale. Where it is absent, query_pre_attn_scalar is the head size, but hidden size / heads in
 * the 27B models, which llama.cpp tells by their depth.
 */
function gemmaConfig(fields: GgufFields, numLayersOf27B: number): JsonObject {
  const scale = fields.number('attention.scale')
  const isLargest = fields.requireCount('block_count') === numLayersOf27B
  const perHead = fields.requireCount('embedding_length') / fields.requireCount('attention.head_count')
  const scalar =
    scale === null || scale === 0 ? (isLargest ? perHead : headDim(fields)) : Number((scale ** -2).toPrecision(6)) // the scale is a float32
  return { hidden_activation: 'gelu_pytorch_tanh', query_pre_attn_scalar: scalar }
}

/** A period ("every n-th layer is full"), or a flag per layer: true = sliding. */
function slidingPattern(fields: GgufFields): JsonObject {
  const pattern = fields.get('attention.sliding_window_pattern')
  if (!Array.isArray(pattern)) return { sliding_window_pattern: fields.number('attention.sliding_window_pattern') ?? 6 }
  return {
    layer_types: pattern.map((isSliding: unknown) => (isSliding === true ? 'sliding_attention' : 'full_attention')),
  }
}
