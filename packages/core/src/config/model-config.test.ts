import { describe, expect, it } from 'vitest'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { parseModelConfig } from './model-config.ts'
import type { ModelConfig } from './model-config.ts'

const llama = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  hidden_act: 'silu',
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
}

function parse(changes: Record<string, unknown>): ModelConfig {
  return parseModelConfig({ ...llama, ...changes }, 'config.json')
}

function without(key: keyof typeof llama): Record<string, unknown> {
  const { [key]: _, ...rest } = llama
  return rest
}

describe('parseModelConfig', () => {
  it('fills what may be left out or null, and freezes the result', () => {
    const config = parse({
      head_dim: null,
      num_key_value_heads: null,
      eos_token_id: null,
      bos_token_id: null,
      rope_scaling: null,
    })
    expect(config).toMatchObject({
      numHeads: 4,
      numKvHeads: 4,
      headDim: 16,
      eosTokenIds: [],
      hasTiedEmbeddings: null,
    })
    expect(config.rope).toEqual({ theta: 10_000, rotaryDim: 16, scaling: { type: 'default' } })
    expect(config.layerTypes).toEqual(['full', 'full', 'full', 'full'])
    expect(Object.isFrozen(config)).toBe(true)
    expect(Object.isFrozen(config.rope)).toBe(true)
  })

  it('reads end-of-sequence ids as a number or a list', () => {
    expect(parse({ eos_token_id: 7 }).eosTokenIds).toEqual([7])
    expect(parse({ eos_token_id: [7, 9, 7] }).eosTokenIds).toEqual([7, 9])
  })

  it('reads old and new names of dtype and rope keys alike', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 }
    const old = parse({ torch_dtype: 'bfloat16', rope_theta: 5e5, rope_scaling: { ...scaling, rope_type: 'llama3' } })
    const older = parse({ torch_dtype: 'bfloat16', rope_theta: 5e5, rope_scaling: { ...scaling, type: 'llama3' } })
    const now = parse({ dtype: 'bfloat16', rope_parameters: { ...scaling, rope_type: 'llama3', rope_theta: 5e5 } })
    expect(now).toEqual(old)
    expect(older).toEqual(old)
    expect(now.dtype).toBe('bfloat16')
    expect(now.rope).toEqual({
      theta: 5e5,
      rotaryDim: 16,
      scaling: { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
    })
  })

  it('infers the attention factor of yarn and extends the context', () => {
    const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512 }
    const plain = parse({ rope_scaling: yarn })
    expect(plain.maxPositionEmbeddings).toBe(2048)
    expect(plain.rope.scaling).toMatchObject({
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      attentionFactor: 0.1 * Math.log(4) + 1,
    })
    const scaled = parse({ rope_scaling: { ...yarn, mscale: 0.7, mscale_all_dim: 0.4, truncate: false } }).rope.scaling
    expect(scaled).toMatchObject({
      truncate: false,
      attentionFactor: (0.07 * Math.log(4) + 1) / (0.04 * Math.log(4) + 1),
    })
    expect(parse({ rope_scaling: { ...yarn, attention_factor: 1.5 } }).rope.scaling).toMatchObject({
      attentionFactor: 1.5,
    })
  })

  it('reads longrope under its three names, with the length it was trained on beside it', () => {
    const phi3 = {
      model_type: 'phi3',
      original_max_position_embeddings: 64,
      max_position_embeddings: 512,
      partial_rotary_factor: 0.25,
    }
    for (const type of ['longrope', 'su', 'yarn']) {
      const config = parse({ ...phi3, rope_scaling: { type, short_factor: [1, 2], long_factor: [3, 4] } })
      expect(config.longPromptThreshold).toBe(64)
      expect(config.rope.rotaryDim).toBe(4)
      expect(config.rope.scaling).toMatchObject({
        shortFactors: [1, 2],
        longFactors: [3, 4],
        attentionFactor: Math.sqrt(1.5),
      })
    }
    expect(() => parse({ ...phi3, rope_scaling: { type: 'su', short_factor: [1], long_factor: [3, 4] } })).toThrow(
      /short_factor.*has 1 values, expected 2/,
    )
  })

  it("gives gemma 3's sliding layers a rope of their own, in both spellings", () => {
    const gemma = {
      model_type: 'gemma3_text',
      head_dim: 16,
      sliding_window: 8,
      hidden_activation: 'gelu_pytorch_tanh',
      num_hidden_layers: 4,
    }
    const old = parse({ ...gemma, sliding_window_pattern: 3, rope_scaling: { rope_type: 'linear', factor: 8 } })
    expect(old.layerTypes).toEqual(['sliding', 'sliding', 'full', 'sliding'])
    const parameters = {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 1e6 },
      sliding_attention: { rope_type: 'default', rope_theta: 1e4 },
    }
    const layers = ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention']
    expect(parse({ ...gemma, layer_types: layers, rope_parameters: parameters })).toEqual(old)
    expect(old.rope).toEqual({ theta: 1e6, rotaryDim: 16, scaling: { type: 'linear', factor: 8 } })
    expect(old.slidingRope).toEqual({ theta: 1e4, rotaryDim: 16, scaling: { type: 'default' } })
    expect(old).toMatchObject({ hasTiedEmbeddings: true, activation: 'gelu_tanh', queryPreAttnScalar: 256 })
  })

  it('takes the text part of a multimodal config', () => {
    const { architectures: _, ...text } = { ...llama, model_type: 'gemma3_text', hidden_size: 32 }
    const config = parseModelConfig(
      {
        architectures: ['Gemma3ForConditionalGeneration'],
        model_type: 'gemma3',
        eos_token_id: [1, 106],
        text_config: text,
        vision_config: {},
      },
      'config.json',
    )
    expect(config).toMatchObject({
      architecture: 'Gemma3ForConditionalGeneration',
      modelType: 'gemma3_text',
      hiddenSize: 32,
      eosTokenIds: [1, 106],
    })
  })

  it.each([
    [{ model_type: 'mistral' }, 4096, 'ssss'],
    [{ model_type: 'mistral', sliding_window: null }, null, 'ffff'],
    [{ model_type: 'llama', sliding_window: 8 }, null, 'ffff'],
    [{ model_type: 'qwen2', sliding_window: 8, use_sliding_window: false, max_window_layers: 2 }, null, 'ffff'],
    [{ model_type: 'qwen2', sliding_window: 8, use_sliding_window: true, max_window_layers: 3 }, 8, 'fffs'],
    [
      {
        model_type: 'qwen3',
        sliding_window: 8,
        use_sliding_window: true,
        layer_types: ['full_attention', 'sliding_attention', 'full_attention', 'full_attention'],
      },
      8,
      'fsff',
    ],
    [{ model_type: 'gemma2', hidden_act: 'gelu', sliding_window: 8 }, 8, 'sfsf'],
    [{ model_type: 'gpt_oss', sliding_window: 8, num_local_experts: 4, num_experts_per_tok: 2 }, 8, 'sfsf'],
  ])('%o slides over %s tokens in layers %s', (changes, window, layers) => {
    const config = parse(changes)
    expect(config.slidingWindow).toBe(window)
    expect(config.layerTypes.map((type) => type[0]).join('')).toBe(layers)
  })

  it('knows which layers are mixtures of experts', () => {
    const moe = { model_type: 'qwen3_moe', num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 32 }
    expect(parse({ ...moe, decoder_sparse_step: 2, norm_topk_prob: true }).moe).toMatchObject({
      intermediateSize: 32,
      normTopkProb: true,
      layers: [false, true, false, true],
    })
    expect(parse({ ...moe, mlp_only_layers: [0, 3] }).moe?.layers).toEqual([false, true, true, false])
  })

  it("reads GPT-2's names", () => {
    const gpt2 = {
      architectures: ['GPT2LMHeadModel'],
      model_type: 'gpt2',
      vocab_size: 50,
      n_embd: 48,
      n_layer: 2,
      n_head: 3,
      n_positions: 128,
      n_inner: null,
      activation_function: 'gelu_new',
    }
    expect(parseModelConfig(gpt2, 'config.json')).toMatchObject({
      hiddenSize: 48,
      numLayers: 2,
      headDim: 16,
      maxPositionEmbeddings: 128,
      intermediateSize: 192,
      activation: 'gelu_tanh',
      hasTiedEmbeddings: true,
      normEpsilon: 1e-5,
    })
  })

  it('names an architecture that it does not know, whatever its keys are', () => {
    const unknown = { architectures: ['NemotronForCausalLM'], model_type: 'nemotron' }
    for (const change of [
      { hidden_act: 'relu2' },
      { hidden_size: null },
      { layer_types: ['linear_attention', 'full_attention'] },
      { model_type: 'llama', rope_scaling: { rope_type: 'mrope' } },
    ]) {
      const read = (): unknown => parseModelConfig({ ...llama, ...unknown, ...change }, 'x')
      expect(read).toThrow(UnsupportedModelError)
      expect(read).toThrow(/^x: the architecture "NemotronForCausalLM" is not supported. Known are Llama/)
    }
    // A model of a user's own may be readable.
    expect(parseModelConfig({ ...llama, ...unknown }, 'x').architecture).toBe('NemotronForCausalLM')
  })

  it('reads the config of an architecture from outside, in keys of its own', () => {
    const { num_hidden_layers: _, ...rest } = llama
    const json = { ...rest, architectures: ['Mine'], model_type: 'mine', depth: 3 }
    const readConfig = ({ depth, ...others }: Readonly<Record<string, unknown>>) => ({
      ...others,
      num_hidden_layers: depth,
    })
    expect(parseModelConfig(json, 'x', { Mine: { readConfig } })).toMatchObject({ architecture: 'Mine', numLayers: 3 })
    // Known now: what is wrong is the key.
    expect(() => parseModelConfig(json, 'x', { Mine: {} })).toThrow(/"num_hidden_layers": is missing/)
    expect(() => parseModelConfig(json, 'x')).toThrow(/"Mine" is not supported.*a module of kind 'model' adds others/)
  })

  it('takes heads of odd size where positions are learned', () => {
    const gpt2 = { architectures: ['GPT2LMHeadModel'], model_type: 'gpt2', n_embd: 10, n_head: 2, n_layer: 1 }
    const config = parseModelConfig({ ...gpt2, n_positions: 8, vocab_size: 16 }, 'x')
    expect([config.headDim, config.rope.rotaryDim]).toEqual([5, 0])
  })

  it('names the key that is missing', () => {
    expect(() => parseModelConfig(without('hidden_size'), 'x/config.json')).toThrow(
      /^x\/config\.json: "hidden_size": is missing/,
    )
    expect(() => parseModelConfig(without('hidden_act'), 'x')).toThrow(/"hidden_act": is missing/)
    expect(() => parseModelConfig({}, 'x')).toThrow(CheckpointError)
    expect(() => parseModelConfig({ ...without('hidden_size'), model_type: 't5' }, 'x')).toThrow(UnsupportedModelError)
    expect(() => parseModelConfig({ ...without('hidden_size'), model_type: 't5' }, 'x')).toThrow(
      /"t5" is not known, and "hidden_size": is missing/,
    )
  })

  it.each([
    ['hidden_size', 1e12],
    ['hidden_size', -1],
    ['hidden_size', 1.5],
    ['hidden_size', '64'],
    ['num_hidden_layers', 100_000],
    ['max_position_embeddings', 2 ** 40],
    ['vocab_size', 2 ** 31],
    ['rms_norm_eps', Number.NaN],
    ['rope_theta', 0],
    ['num_key_value_heads', 3],
    ['layer_types', ['full_attention']],
    ['rope_scaling', { rope_type: 'linear' }],
    ['rope_scaling', { rope_type: 'linear', factor: -2 }],
    ['rope_scaling', 'linear'],
    ['partial_rotary_factor', 0.01],
  ])('refuses %s = %o', (key, value) => {
    expect(() => parse({ [key]: value })).toThrow(CheckpointError)
    expect(() => parse({ [key]: value })).toThrow(new RegExp(`"${key}`))
  })

  it.each([
    [{ hidden_act: 'quick_gelu' }, /quick_gelu/],
    [{ rope_scaling: { rope_type: 'proportional' } }, /"proportional"/],
    [{ model_type: 'qwen3', layer_types: Array(4).fill('chunked_attention') }, /chunked_attention/],
    [{ use_bidirectional_attention: true }, /bidirectional/],
    [{ model_type: 'gpt_oss', swiglu_limit: 10, num_local_experts: 4, num_experts_per_tok: 2 }, /swiglu_limit 10/],
  ])('does not support %o and says so', (changes, message) => {
    expect(() => parse(changes)).toThrow(UnsupportedModelError)
    expect(() => parse(changes)).toThrow(message)
  })

  it('is not led astray by keys of the object prototype', () => {
    const hostile: unknown = JSON.parse(
      `{"__proto__": {"hidden_size": 64}, "architectures": ["constructor"], "model_type": "__proto__"}`,
    )
    expect(() => parseModelConfig(hostile as Record<string, unknown>, 'x')).toThrow(UnsupportedModelError)
    expect(parse({ model_type: 'constructor' }).modelType).toBe('constructor')
  })
})
