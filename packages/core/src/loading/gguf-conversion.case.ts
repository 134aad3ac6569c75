import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isJsonObject, type JsonObject } from '../util/json-object.ts'
import { ggufBytes, type GgufValue, type WrittenGgufTensor } from './gguf-file.case.ts'
import { openSafetensors } from './safetensors.ts'

/**
 * Writes a Hugging Face fixture as llama.cpp's convert_hf_to_gguf.py does, in float32: tensor names as in gguf-py's
 * tensor_mapping.py, query and key rows interleaved (llama), norms plus one (gemma), Conv1D transposed (gpt2), experts stacked.
 */
export function convertToGguf(folder: string, architecture: string): Uint8Array {
  const config: JsonObject = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  const source = openSafetensors(folder)
  const tensors = new Map<string, { shape: number[]; values: Float32Array }>()
  const stacks = new Map<string, { shape: number[]; values: Float32Array }[]>()
  for (const name of source.names()) {
    const tensor = convert(
      name,
      { shape: [...(source.get(name)?.shape ?? [])], values: source.readFloat32(name) },
      { architecture, config },
    )
    const [, prefix, expert, projection] = /^(.*)\.experts\.(\d+)\.(\w+)\.weight$/.exec(name) ?? []
    if (prefix === undefined || projection === undefined) tensors.set(ggufName(name, architecture), tensor)
    else {
      const kind = { w1: 'gate', gate_proj: 'gate', w3: 'up', up_proj: 'up' }[projection] ?? 'down'
      const key = `blk.${/layers\.(\d+)/.exec(prefix)?.[1]}.ffn_${kind}_exps.weight`
      const stack = stacks.get(key) ?? []
      stack[Number(expert)] = tensor
      stacks.set(key, stack)
    }
  }
  source.close()
  for (const [name, stack] of stacks) {
    const values = Float32Array.from(stack.flatMap((tensor) => [...tensor.values]))
    tensors.set(name, { shape: [stack.length, ...(stack[0]?.shape ?? [])], values })
  }
  const factors = llama3Factors(config)
  if (factors !== null) tensors.set('rope_freqs.weight', { shape: [factors.length], values: factors })
  return ggufBytes({
    metadata: metadataOf(config, architecture),
    tensors: [...tensors].map(([name, { shape, values }]): WrittenGgufTensor => ({
      name,
      type: 0,
      shape,
      bytes: new Uint8Array(values.buffer),
    })),
  })
}

interface Converted {
  readonly shape: number[]
  readonly values: Float32Array
}

function convert(name: string, tensor: Converted, context: { architecture: string; config: JsonObject }): Converted {
  const { architecture, config } = context
  const { shape, values } = tensor
  const [rows = 1, cols = 1] = shape
  if (architecture.startsWith('gemma') && name.endsWith('norm.weight'))
    return { shape, values: values.map((value) => value + 1) }
  if (architecture === 'gpt2' && /\.(c_attn|c_proj|c_fc)\.weight$/.test(name)) {
    return { shape: [cols, rows], values: values.map((_, i) => values[(i % rows) * cols + Math.floor(i / rows)] ?? 0) }
  }
  if (architecture === 'llama' && /\.[qk]_proj\./.test(name)) {
    const numHeads = name.includes('q_proj') ? config['num_attention_heads'] : config['num_key_value_heads']
    const headDim = rows / Number(numHeads)
    const width = shape.length === 1 ? 1 : cols
    const from = (row: number): number => {
      const inHead = row % headDim
      return row - inHead + Math.floor(inHead / 2) + (inHead % 2) * (headDim / 2)
    }
    return { shape, values: values.map((_, i) => values[from(Math.floor(i / width)) * width + (i % width)] ?? 0) }
  }
  return tensor
}

const common = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  'self_attn.qkv_proj': 'attn_qkv',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
  'mlp.gate_up_proj': 'ffn_up',
  'mlp.gate': 'ffn_gate_inp',
  'block_sparse_moe.gate': 'ffn_gate_inp',
  pre_feedforward_layernorm: 'ffn_norm',
  post_feedforward_layernorm: 'post_ffw_norm',
  ln_1: 'attn_norm',
  'attn.c_attn': 'attn_qkv',
  'attn.c_proj': 'attn_output',
  ln_2: 'ffn_norm',
  'mlp.c_fc': 'ffn_up',
  'mlp.c_proj': 'ffn_down',
}
const globals = {
  'model.embed_tokens': 'token_embd',
  'model.norm': 'output_norm',
  lm_head: 'output',
  wte: 'token_embd',
  wpe: 'position_embd',
  ln_f: 'output_norm',
}

function ggufName(name: string, architecture: string): string {
  const [, layer, part = '', ending = ''] = /^(?:model\.layers|h)\.(\d+)\.(.*)\.(weight|bias)$/.exec(name) ?? []
  if (layer === undefined) {
    const [, whole = '', end = ''] = /^(.*)\.(weight|bias)$/.exec(name) ?? []
    return `${Object.entries(globals).find(([key]) => key === whole)?.[1]}.${end}`
  }
  const hasPostNorms = architecture.startsWith('gemma') || architecture === 'olmo2'
  const postAttention = hasPostNorms ? 'post_attention_norm' : 'ffn_norm'
  const found =
    part === 'post_attention_layernorm' ? postAttention : Object.entries(common).find(([key]) => key === part)?.[1]
  return `blk.${layer}.${found}.${ending}`
}

const metadataKeys = {
  max_position_embeddings: 'context_length',
  n_positions: 'context_length',
  hidden_size: 'embedding_length',
  n_embd: 'embedding_length',
  num_hidden_layers: 'block_count',
  n_layer: 'block_count',
  intermediate_size: 'feed_forward_length',
  num_attention_heads: 'attention.head_count',
  n_head: 'attention.head_count',
  num_key_value_heads: 'attention.head_count_kv',
  rms_norm_eps: 'attention.layer_norm_rms_epsilon',
  layer_norm_epsilon: 'attention.layer_norm_epsilon',
  rope_theta: 'rope.freq_base',
  rope_local_base_freq: 'rope.freq_base_swa',
  head_dim: 'attention.key_length',
  attn_logit_softcapping: 'attn_logit_softcapping',
  final_logit_softcapping: 'final_logit_softcapping',
  sliding_window_pattern: 'attention.sliding_window_pattern',
  num_experts: 'expert_count',
  num_local_experts: 'expert_count',
  num_experts_per_tok: 'expert_used_count',
  moe_intermediate_size: 'expert_feed_forward_length',
}

const scalingKeys = {
  factor: 'factor',
  original_max_position_embeddings: 'original_context_length',
  attention_factor: 'yarn_attn_factor',
  beta_fast: 'yarn_beta_fast',
  beta_slow: 'yarn_beta_slow',
}

function metadataOf(config: JsonObject, architecture: string): Record<string, GgufValue> {
  const metadata: Record<string, GgufValue> = { 'general.architecture': architecture }
  const rope = isJsonObject(config['rope_parameters']) ? config['rope_parameters'] : {}
  const all = { ...config, ...rope }
  for (const [key, ggufKey] of Object.entries(metadataKeys)) {
    const value = all[key]
    if (typeof value === 'number') metadata[`${architecture}.${ggufKey}`] = value
  }
  const window = config['sliding_window']
  if (typeof window === 'number' && config['use_sliding_window'] !== false)
    metadata[`${architecture}.attention.sliding_window`] = window
  if (architecture === 'gpt2')
    metadata['gpt2.feed_forward_length'] = Number(config['n_inner'] ?? 4 * Number(config['n_embd']))
  const scalar = config['query_pre_attn_scalar']
  if (typeof scalar === 'number') metadata[`${architecture}.attention.scale`] = scalar ** -0.5
  const headDim = Number(config['head_dim'] ?? Number(config['hidden_size']) / Number(config['num_attention_heads']))
  if (typeof config['hidden_size'] === 'number')
    metadata[`${architecture}.rope.dimension_count`] = Math.floor(
      headDim * Number(config['partial_rotary_factor'] ?? 1),
    )
  const scaling = isJsonObject(config['rope_scaling']) ? config['rope_scaling'] : rope
  if (scaling['rope_type'] === 'linear' || scaling['rope_type'] === 'yarn') {
    metadata[`${architecture}.rope.scaling.type`] = scaling['rope_type']
    for (const [key, ggufKey] of Object.entries(scalingKeys)) {
      const value = scaling[key]
      if (typeof value === 'number') metadata[`${architecture}.rope.scaling.${ggufKey}`] = value
    }
  }
  for (const kind of ['bos', 'eos']) {
    const id = config[`${kind}_token_id`]
    if (typeof id === 'number') metadata[`tokenizer.ggml.${kind}_token_id`] = id
  }
  return metadata
}

/** convert_hf_to_gguf.py, `LlamaModel.generate_extra_tensors`. */
function llama3Factors(config: JsonObject): Float32Array | null {
  const scaling = config['rope_scaling'] ?? config['rope_parameters']
  if (!isJsonObject(scaling) || scaling['rope_type'] !== 'llama3') return null
  const [factor, low, high, original] = [
    'factor',
    'low_freq_factor',
    'high_freq_factor',
    'original_max_position_embeddings',
  ].map((key) => Number(scaling[key])) as [number, number, number, number] // four keys in, four numbers out
  const dim = Number(config['head_dim'])
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * Number(config['rope_theta'] ?? scaling['rope_theta']) ** ((2 * i) / dim)
    if (wavelength < original / high) return 1
    if (wavelength > original / low) return factor
    const smooth = (original / wavelength - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}
