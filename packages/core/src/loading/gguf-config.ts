import { CheckpointError } from '../errors.ts'
import type { PoolingType } from '../config/pooling-config.ts'
import type { JsonObject } from '../util/json-object.ts'
import { GgufFields } from './gguf-architecture.ts'
import type { GgufMetadata } from './gguf-header.ts'
import type { GgufModel } from './gguf.ts'
import { ggufHeadDim, ggufRopeConfig } from './gguf-rope.ts'
import { noSentenceTransformers, type SentenceTransformers } from './sentence-transformers.ts'

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
  return {
    ...config,
    ...decoderConfig(fields),
    ...biasConfig(model),
    ...ggufRopeConfig(model, fields),
    ...familyConfig(model, fields),
  }
}

/** llama.cpp's numbers (`LLAMA_POOLING_TYPE_*`); 0 is none. */
const poolingTypes: ReadonlyMap<number, PoolingType> = new Map([
  [1, 'mean'],
  [2, 'cls'],
  [3, 'last'],
])

/** What modules.json says of an embedder; llama.cpp normalizes embeddings whatever the file says. */
export function ggufSentenceTransformers({ metadata, architecture, file }: GgufModel): SentenceTransformers {
  const fields = new GgufFields(metadata, architecture.key, file)
  const number = fields.number('pooling_type') ?? 0
  if (number === 0) return noSentenceTransformers
  const type =
    poolingTypes.get(number) ?? fields.fail('pooling_type', `is ${number}; known are 0 to 3: none, mean, cls and last`)
  return { ...noSentenceTransformers, modules: { type, inFeatures: null, dense: [], isNormalized: true } }
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
  const embedding = model.stored.raw('token_embd.weight')
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
    head_dim: ggufHeadDim(fields),
    intermediate_size: fields.number('feed_forward_length') ?? fields.requireCount('expert_feed_forward_length'),
    max_position_embeddings: fields.requireCount('context_length'),
    rms_norm_eps: fields.requireNumber('attention.layer_norm_rms_epsilon'),
    rope_theta: fields.number('rope.freq_base') ?? 10_000,
    hidden_act: 'silu',
  }
}

/** Which biases there are shows in the tensors alone. Qwen 2 has its own, whatever its config says. */
function biasConfig({ architecture, stored }: GgufModel): JsonObject {
  const names = stored.names()
  const hasAttentionBias = architecture.modelType !== 'qwen2' && names.includes('blk.0.attn_q.bias')
  return { attention_bias: hasAttentionBias, mlp_bias: names.includes('blk.0.ffn_down.bias') }
}

function familyConfig(model: GgufModel, fields: GgufFields): JsonObject {
  // Files say 0 where there is no window: every Phi does.
  const stated = fields.number('attention.sliding_window')
  const window = stated === 0 ? null : stated
  switch (model.architecture.modelType) {
    case 'llama':
      return slidingMistral(window)
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
    case 'gpt_oss':
      return { ...expertCounts(fields, 'num_local_experts'), sliding_window: stated === null ? 128 : window }
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
    scale === null || scale === 0 ? (isLargest ? perHead : ggufHeadDim(fields)) : Number((scale ** -2).toPrecision(6)) // the scale is a float32
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
