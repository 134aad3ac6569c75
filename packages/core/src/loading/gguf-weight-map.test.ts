import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseModelConfig } from '../config/model-config.ts'
import { CheckpointError } from '../errors.ts'
import { ropeFrequencies } from '../layers/rope-frequencies.ts'
import { ggufConfig, ggufGenerationConfig } from './gguf-config.ts'
import { convertToGguf } from './gguf-conversion.case.ts'
import { ggufBytes, type GgufValue } from './gguf-file.case.ts'
import { openGguf } from './gguf.ts'
import { openSafetensors } from './safetensors.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'octavo-gguf-map-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function write(name: string, bytes: Uint8Array): string {
  const path = join(folder, `${name}.gguf`)
  writeFileSync(path, bytes)
  return path
}

const converted = [
  ['llama', 'llama'],
  ['llama-tied-llama3rope', 'llama'],
  ['llama-yarn', 'llama'],
  ['mistral', 'llama'],
  ['mixtral', 'llama'],
  ['qwen2', 'qwen2'],
  ['qwen3', 'qwen3'],
  ['qwen3-moe', 'qwen3moe'],
  ['gemma2', 'gemma2'],
  ['gemma3-text', 'gemma3'],
  ['phi3', 'phi3'],
  ['olmo2', 'olmo2'],
  ['gpt2', 'gpt2'],
] as const

describe.each(converted)('fixture %s as a GGUF file of architecture %s', (name, architecture) => {
  it('has the same weights under the same names', () => {
    const expected = openSafetensors(join(models, name))
    const { weights } = openGguf(write(name, convertToGguf(join(models, name), architecture)))
    const names = weights.names().filter((tensor) => tensor !== 'rope_freqs.weight')
    expect(names.sort()).toEqual([...expected.names()].sort())
    for (const tensor of expected.names()) {
      const info = weights.get(tensor)
      const values = expected.readFloat32(tensor)
      if (info?.orientation === 'out-in') {
        const [rows = 0, cols = 0] = expected.get(tensor)?.shape ?? []
        expect(info.shape).toEqual([cols, rows])
        const transposed = values.map((_, i) => values[(i % rows) * cols + Math.floor(i / rows)] ?? 0)
        expect(weights.readFloat32(tensor), tensor).toEqual(transposed)
        continue
      }
      expect(info?.shape, tensor).toEqual(expected.get(tensor)?.shape)
      const found = weights.readFloat32(tensor)
      if (architecture.startsWith('gemma') && tensor.endsWith('norm.weight')) {
        // 1 + w was rounded to float32 when the file was made.
        expect(Math.max(...found.map((value, i) => Math.abs(value - (values[i] ?? 0))))).toBeLessThan(2e-7)
      } else expect(found, tensor).toEqual(values)
    }
    expect(weights.names().filter((tensor) => weights.get(tensor)?.orientation === 'out-in').length).toBe(
      name === 'gpt2' ? 12 : 0,
    )
    weights.close()
    expected.close()
  })

  it('has the same configuration', () => {
    const model = openGguf(write(name, convertToGguf(join(models, name), architecture)))
    const found = parseModelConfig(ggufConfig(model), 'config')
    model.weights.close()
    const expected = parseModelConfig(JSON.parse(readFileSync(join(models, name, 'config.json'), 'utf8')), 'config')
    expect(found).toEqual({
      ...expected,
      // GGUF states a missing lm_head by leaving it out, and the dtype per tensor.
      hasTiedEmbeddings: !model.weights.names().includes('lm_head.weight'),
      dtype: null,
    })
  })
})

describe('ggufConfig', () => {
  const llama: Record<string, GgufValue> = {
    'general.architecture': 'llama',
    'llama.context_length': 128,
    'llama.embedding_length': 4,
    'llama.block_count': 1,
    'llama.feed_forward_length': 8,
    'llama.attention.head_count': 2,
    'llama.attention.layer_norm_rms_epsilon': 1e-5,
  }
  const embedding = { name: 'token_embd.weight', type: 0, shape: [3, 4], bytes: new Uint8Array(48) }

  function configOf(metadata: Record<string, GgufValue>, tensors = [embedding]): Record<string, unknown> {
    const model = openGguf(write('config', ggufBytes({ metadata, tensors })))
    try {
      return ggufConfig(model)
    } finally {
      model.weights.close()
    }
  }

  it('fills what a small file leaves out', () => {
    expect(configOf(llama)).toMatchObject({
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      vocab_size: 3,
      tie_word_embeddings: true,
      num_key_value_heads: 2,
      head_dim: 2,
      rope_theta: 10000,
      rope_scaling: null,
      rms_norm_eps: 1e-5,
    })
  })

  it.each<[string, Record<string, GgufValue>, RegExp]>([
    ['llama.block_count', { 'llama.block_count': 'three' }, /llama.block_count is not a number/],
    ['llama.embedding_length', { 'llama.embedding_length': 0 }, /llama.embedding_length is 0, not a count/],
    ['layers that differ', { 'llama.feed_forward_length': [8, 16] }, /feed_forward_length differs between layers/],
    [
      'an unknown rope scaling',
      { 'llama.rope.scaling.type': 'su', 'llama.rope.scaling.factor': 2 },
      /rope scaling "su" is not supported/,
    ],
  ])('refuses %s', (_, change, message) => {
    expect(() => configOf({ ...llama, ...change })).toThrow(CheckpointError)
    expect(() => configOf({ ...llama, ...change })).toThrow(message)
  })

  it('refuses a file that lacks a field or the embedding', () => {
    const { 'llama.block_count': _, ...rest } = llama
    expect(() => configOf(rest)).toThrow(/lacks the metadata llama.block_count/)
    expect(() => configOf(llama, [])).toThrow(/"token_embd.weight": missing/)
  })

  it('takes a list that is the same for all layers, and every end-of-turn token', () => {
    expect(configOf({ ...llama, 'llama.feed_forward_length': [8, 8] })['intermediate_size']).toBe(8)
    const ids = { 'tokenizer.ggml.eos_token_id': 5, 'tokenizer.ggml.eot_token_id': 7, 'tokenizer.ggml.eom_token_id': 5 }
    expect(ggufGenerationConfig(ids)).toEqual({ eos_token_id: [5, 7] })
    expect(ggufGenerationConfig({})).toBeNull()
  })

  it.each([
    ['llama', { 'llama.attention.sliding_window': 0 }, { model_type: 'llama' }],
    ['llama', { 'llama.attention.sliding_window': 64 }, { model_type: 'mistral', sliding_window: 64 }],
    ['phi3', { 'phi3.attention.sliding_window': 0 }, { model_type: 'phi3', sliding_window: null }],
    ['phi3', { 'phi3.attention.sliding_window': 64 }, { model_type: 'phi3', sliding_window: 64 }],
    ['gemma2', {}, { sliding_window: 4096 }],
    ['gemma2', { 'gemma2.attention.sliding_window': 0 }, { sliding_window: null }],
  ])('reads the window of %s from %o', (key, window, expected) => {
    const metadata = Object.fromEntries(
      Object.entries(llama).map(([name, value]) => [name.replace('llama', key), value]),
    )
    const config = configOf({ ...metadata, 'general.architecture': key, ...window })
    expect(config).toMatchObject(expected)
    const { slidingWindow } = parseModelConfig(config, 'config')
    expect(slidingWindow).toBe(('sliding_window' in expected ? expected.sliding_window : null) ?? null)
  })

  const yarn = { ...llama, 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 4 }

  it("takes YaRN's factors as Hugging Face's config has them", () => {
    const own = 0.1 * Math.log(4) + 1
    expect(configOf(yarn)['rope_scaling']).toEqual({ rope_type: 'yarn', factor: 4 })
    const scaling = (more: Record<string, GgufValue>) =>
      configOf({
        ...yarn,
        ...Object.fromEntries(Object.entries(more).map(([key, value]) => [`llama.rope.scaling.${key}`, value])),
      })['rope_scaling']
    expect(scaling({ yarn_attn_factor: 1, yarn_ext_factor: 1, yarn_log_multiplier: 0 })).toEqual({
      rope_type: 'yarn',
      factor: 4,
    })
    expect(scaling({ yarn_ext_factor: -1 })).toEqual({ rope_type: 'yarn', factor: 4 })
    expect(scaling({ yarn_beta_fast: 16, yarn_beta_slow: 2 })).toMatchObject({ beta_fast: 16, beta_slow: 2 })
    expect(scaling({ yarn_attn_factor: 0.5 })).toMatchObject({ attention_factor: 0.5 })
    expect(scaling({ attn_factor: 3 })).toMatchObject({ attention_factor: 3 * own })
    expect(scaling({ yarn_attn_factor: 0.5, attn_factor: 3 })).toMatchObject({ attention_factor: 1.5 })
  })

  it.each<[string, Record<string, GgufValue>]>([
    ['llama.rope.scaling.yarn_ext_factor is 0.5; only 1', { ...yarn, 'llama.rope.scaling.yarn_ext_factor': 0.5 }],
    ['llama.rope.scaling.yarn_ext_factor is 0; only 1', { ...yarn, 'llama.rope.scaling.yarn_ext_factor': 0 }],
    ['yarn_log_multiplier is 0.5; only 0', { ...yarn, 'llama.rope.scaling.yarn_log_multiplier': 0.5 }],
    ['yarn_ext_factor is 1; only 0, without yarn,', { ...llama, 'llama.rope.scaling.yarn_ext_factor': 1 }],
    ['yarn_attn_factor is 2; only 1, without yarn,', { ...llama, 'llama.rope.scaling.yarn_attn_factor': 2 }],
    ['attn_factor is 2; it is supported with yarn and longrope', { ...llama, 'llama.rope.scaling.attn_factor': 2 }],
  ])('refuses by name what would change the numbers: %s', (message, metadata) => {
    expect(() => configOf(metadata)).toThrow(CheckpointError)
    expect(() => configOf(metadata)).toThrow(message)
  })

  it.each([
    ['llama', ['blk.0.attn_q.bias'], { attention_bias: true, mlp_bias: false }],
    ['llama', ['blk.0.ffn_down.bias'], { attention_bias: false, mlp_bias: true }],
    ['qwen3', ['blk.0.attn_q.bias'], { attention_bias: true, mlp_bias: false }],
    ['qwen2', ['blk.0.attn_q.bias'], { attention_bias: false, mlp_bias: false }],
  ])('finds the biases of %s in its tensors %o', (key, names, expected) => {
    const metadata = Object.fromEntries(
      Object.entries(llama).map(([name, value]) => [name.replace('llama', key), value]),
    )
    const biases = names.map((name) => ({ name, type: 0, shape: [4], bytes: new Uint8Array(16) }))
    expect(configOf({ ...metadata, 'general.architecture': key }, [embedding, ...biases])).toMatchObject(expected)
  })

  it('takes rope factors that are no llama3 scaling as they are, and ignores those that scale nothing', () => {
    const factors = (values: number[]) => ({
      name: 'rope_freqs.weight',
      type: 0,
      shape: [values.length],
      bytes: new Uint8Array(Float32Array.from(values).buffer),
    })
    expect(() => configOf(llama, [embedding, factors([3])])).not.toThrow()
    expect(configOf(llama, [embedding, factors([1])])['rope_scaling']).toBeNull()
    const wide = { ...llama, 'llama.embedding_length': 16 }
    const wideEmbedding = { ...embedding, shape: [3, 16], bytes: new Uint8Array(192) }
    const config = configOf(wide, [wideEmbedding, factors([5, 1, 7, 2])])
    const { rope, longPromptThreshold } = parseModelConfig(config, 'config')
    expect([...ropeFrequencies(rope, false).inverse]).toEqual(
      [5, 1, 7, 2].map((factor, i) => Math.fround(1 / Math.fround(factor * Math.fround(10_000 ** (i / 4))))),
    )
    expect(ropeFrequencies(rope, true)).toEqual(ropeFrequencies(rope, false))
    expect(ropeFrequencies(rope, false).attentionFactor).toBe(1)
    expect(longPromptThreshold).toBe(128)
    const linear = configOf({ ...wide, 'llama.rope.scaling.factor': 2 }, [wideEmbedding, factors([5, 1, 7, 2])])
    expect(linear['rope_scaling']).toMatchObject({ short_factor: [10, 2, 14, 4], attention_factor: 1 })
    const stretched = { ...wide, 'llama.rope.scaling.type': 'yarn', 'llama.rope.scaling.factor': 2 }
    expect(() => configOf(stretched, [wideEmbedding, factors([5, 1, 7, 2])])).toThrow(
      'llama.rope.scaling.type is "yarn" beside rope_freqs.weight',
    )
    expect(() => configOf(wide, [wideEmbedding, factors([5, 1])])).toThrow('has 2 factors for 4 rotary frequencies')
    expect(() => configOf(wide, [wideEmbedding, factors([5, 0, 7, 2])])).toThrow(
      'the factor 0 is not a positive number',
    )
  })

  it('refuses two tensors that mean the same weight', () => {
    const expert = (name: string) => ({ name, type: 0, shape: [1, 2, 2], bytes: new Uint8Array(16) })
    const old = { name: 'blk.0.ffn_up.0.weight', type: 0, shape: [2, 2], bytes: new Uint8Array(16) }
    const metadata = { ...llama, 'llama.expert_count': 1, 'llama.expert_used_count': 1 }
    expect(configOf(metadata, [embedding, old])['model_type']).toBe('mixtral')
    expect(() => configOf(metadata, [embedding, old, expert('blk.0.ffn_up_exps.weight')])).toThrow(
      /both mean it|another tensor/,
    )
  })
})
