import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import type { GgufMetadata } from './gguf-header.ts'

/** How one llama.cpp architecture corresponds to a Hugging Face one. */
export interface GgufArchitecture {
  /** The prefix of its metadata keys. */
  readonly key: string
  readonly architecture: string
  readonly modelType: string
  /** `blk.<n>.<name>` → `<layerPrefix>.<n>.<value>`; the ending (.weight, .bias) stays. */
  readonly layerNames: Readonly<Record<string, string>>
  readonly layerPrefix: string
  readonly globalNames: Readonly<Record<string, string>>
  /** Query and key rows lie in interleaved rotary order and must be put back into halves. */
  readonly hasInterleavedRotary: boolean
  /** Norm weights were stored as 1 + w. */
  readonly hasShiftedNorms: boolean
  /** Linear weights are `[in, out]` in HF's checkpoints, `[out, in]` here. */
  readonly hasConv1d: boolean
  /** The same of experts. */
  readonly hasInOutExperts: boolean
  /** `ffn_{gate,up,down}_exps` [experts, out, in] → `<prefix>.<expert>.<name>`; `null` for dense models. */
  readonly experts: {
    readonly prefix: string
    readonly gate: string
    readonly up: string
    readonly down: string
  } | null
}

const attentionNames = {
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
}
const mlpNames = { ffn_gate: 'mlp.gate_proj', ffn_up: 'mlp.up_proj', ffn_down: 'mlp.down_proj' }
const preNormNames = { attn_norm: 'input_layernorm', ffn_norm: 'post_attention_layernorm' }
const postNormNames = { post_attention_norm: 'post_attention_layernorm', post_ffw_norm: 'post_feedforward_layernorm' }
const llamaLayerNames = { ...attentionNames, ...mlpNames, ...preNormNames }
const gemmaLayerNames = {
  ...attentionNames,
  ...mlpNames,
  ...postNormNames,
  attn_norm: 'input_layernorm',
  ffn_norm: 'pre_feedforward_layernorm',
}

const base = {
  layerPrefix: 'model.layers',
  layerNames: llamaLayerNames,
  globalNames: { token_embd: 'model.embed_tokens', output_norm: 'model.norm', output: 'lm_head' },
  hasInterleavedRotary: false,
  hasShiftedNorms: false,
  hasConv1d: false,
  hasInOutExperts: false,
  experts: null,
}

const mixtral = {
  architecture: 'MixtralForCausalLM',
  modelType: 'mixtral',
  layerNames: { ...llamaLayerNames, ffn_gate_inp: 'block_sparse_moe.gate' },
  experts: { prefix: 'block_sparse_moe.experts', gate: 'w1', up: 'w3', down: 'w2' },
}

const architectures: ReadonlyMap<string, Omit<GgufArchitecture, 'key'>> = new Map<
  string,
  Omit<GgufArchitecture, 'key'>
>([
  ['llama', { ...base, architecture: 'LlamaForCausalLM', modelType: 'llama', hasInterleavedRotary: true }],
  ['qwen2', { ...base, architecture: 'Qwen2ForCausalLM', modelType: 'qwen2' }],
  ['qwen3', { ...base, architecture: 'Qwen3ForCausalLM', modelType: 'qwen3' }],
  [
    'qwen3moe',
    {
      ...base,
      architecture: 'Qwen3MoeForCausalLM',
      modelType: 'qwen3_moe',
      layerNames: { ...llamaLayerNames, ffn_gate_inp: 'mlp.gate' },
      experts: { prefix: 'mlp.experts', gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
    },
  ],
  [
    'gemma2',
    {
      ...base,
      architecture: 'Gemma2ForCausalLM',
      modelType: 'gemma2',
      layerNames: gemmaLayerNames,
      hasShiftedNorms: true,
    },
  ],
  [
    'gemma3',
    {
      ...base,
      architecture: 'Gemma3ForCausalLM',
      modelType: 'gemma3_text',
      layerNames: gemmaLayerNames,
      hasShiftedNorms: true,
    },
  ],
  [
    'phi3',
    {
      ...base,
      architecture: 'Phi3ForCausalLM',
      modelType: 'phi3',
      layerNames: { ...llamaLayerNames, attn_qkv: 'self_attn.qkv_proj', ffn_up: 'mlp.gate_up_proj' },
    },
  ],
  [
    'olmo2',
    {
      ...base,
      architecture: 'Olmo2ForCausalLM',
      modelType: 'olmo2',
      layerNames: { ...attentionNames, ...mlpNames, ...postNormNames },
    },
  ],
  [
    'gpt-oss',
    {
      ...base,
      architecture: 'GptOssForCausalLM',
      modelType: 'gpt_oss',
      layerNames: {
        ...attentionNames,
        attn_sinks: 'self_attn.sinks',
        attn_norm: 'input_layernorm',
        post_attention_norm: 'post_attention_layernorm',
        ffn_gate_inp: 'mlp.router',
      },
      hasInOutExperts: true,
      experts: { prefix: 'mlp.experts', gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
    },
  ],
  [
    'gpt2',
    {
      ...base,
      architecture: 'GPT2LMHeadModel',
      modelType: 'gpt2',
      layerPrefix: 'h',
      layerNames: {
        attn_norm: 'ln_1',
        attn_qkv: 'attn.c_attn',
        attn_output: 'attn.c_proj',
        ffn_norm: 'ln_2',
        ffn_up: 'mlp.c_fc',
        ffn_down: 'mlp.c_proj',
      },
      globalNames: { token_embd: 'wte', position_embd: 'wpe', output_norm: 'ln_f', output: 'lm_head' },
      hasConv1d: true,
    },
  ],
])

/** What llama.cpp calls Hugging Face's `model_type`; `null` for what is not in the table. */
export function ggufArchitectureOf(modelType: string): GgufArchitecture | null {
  if (modelType === 'mixtral') return { ...base, key: 'llama', hasInterleavedRotary: true, ...mixtral }
  const wanted = modelType === 'mistral' ? 'llama' : modelType
  for (const [key, known] of architectures) if (known.modelType === wanted) return { ...known, key }
  return null
}

/** llama.cpp's name → Hugging Face's, for docs/models.md; a `llama` with experts is a Mixtral. */
export const ggufArchitectureNames: readonly (readonly [key: string, architecture: string])[] = [
  ...[...architectures].map(([key, { architecture }]) => [key, architecture] as const),
  ['llama', mixtral.architecture],
]

/** Throws UnsupportedModelError for an architecture that is not in the table. */
export function ggufArchitecture(metadata: GgufMetadata, file: string): GgufArchitecture {
  const key = metadata['general.architecture']
  if (typeof key !== 'string') throw new CheckpointError(file, 'has no general.architecture')
  const known = architectures.get(key)
  if (known === undefined) {
    const supported = [...architectures.keys()].join(', ')
    throw new UnsupportedModelError(
      `${file}: the GGUF architecture "${key}" is not supported; supported are ${supported}. Its safetensors checkpoint may work.`,
    )
  }
  const numExperts = metadata[`${key}.expert_count`]
  const isMixtral = key === 'llama' && typeof numExperts === 'number' && numExperts > 0
  return { ...known, key, ...(isMixtral && mixtral) }
}

/** Reads `<architecture>.<name>` fields; `null` where they are absent, CheckpointError where they have another type. */
export class GgufFields {
  readonly #metadata: GgufMetadata
  readonly #key: string
  readonly #file: string

  constructor(metadata: GgufMetadata, key: string, file: string) {
    this.#metadata = metadata
    this.#key = key
    this.#file = file
  }

  get(name: string): unknown {
    return this.#metadata[`${this.#key}.${name}`] ?? null
  }

  /** A number; a per-layer array counts where all layers agree. */
  number(name: string): number | null {
    const value = this.get(name)
    if (value === null || (typeof value === 'number' && Number.isFinite(value))) return value
    if (Array.isArray(value)) {
      const values: unknown[] = value
      const first = values[0]
      if (typeof first === 'number' && Number.isFinite(first) && values.every((other) => other === first)) return first
      return this.fail(name, 'differs between layers, which is not supported')
    }
    return this.fail(name, 'is not a number')
  }

  /** Throws a CheckpointError that names the field. */
  fail(name: string, reason: string): never {
    throw new CheckpointError(this.#file, `${this.#key}.${name} ${reason}`)
  }

  requireNumber(name: string): number {
    const value = this.number(name)
    if (value === null) throw new CheckpointError(this.#file, `lacks the metadata ${this.#key}.${name}`)
    return value
  }

  /** A whole number from 1 to 2^31 - 1. */
  requireCount(name: string): number {
    const value = this.requireNumber(name)
    if (!Number.isInteger(value) || value < 1 || value > 2 ** 31 - 1) return this.fail(name, `is ${value}, not a count`)
    return value
  }
}
