import { InvalidConfigError } from '@octavo/core'
import { type ModelConfig, parseModelConfig } from '@octavo/core/model'
import { describe, expect, it } from 'vitest'
import { layerCosts, type LayerRangeOptions, resolveLayerRanges } from './layer-ranges.ts'

const llama = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 2048,
  intermediate_size: 5632,
  num_attention_heads: 32,
  num_key_value_heads: 4,
  num_hidden_layers: 22,
  vocab_size: 32_000,
  max_position_embeddings: 2048,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
}

function configOf(overrides: Readonly<Record<string, unknown>> = {}): ModelConfig {
  return parseModelConfig({ ...llama, ...overrides }, 'config.json')
}

function sizesOf(config: ModelConfig, options: LayerRangeOptions): number[] {
  const ranges = resolveLayerRanges(config, options)
  expect(ranges[0]?.start).toBe(0)
  ranges.forEach(({ end }, stage) => expect(ranges[stage + 1]?.start ?? config.numLayers).toBe(end))
  return ranges.map(({ start, end }) => end - start)
}

function costOfLargest(config: ModelConfig, sizes: readonly number[]): number {
  const { embedding, layers, head } = layerCosts(config)
  let start = 0
  const costs = sizes.map((size) => layers.slice(start, (start += size)).reduce((sum, cost) => sum + cost, 0))
  costs[0]! += embedding
  costs[costs.length - 1]! += head
  return Math.max(...costs)
}

function compositions(total: number, numParts: number): number[][] {
  if (numParts === 1) return [[total]]
  const firsts = Array.from({ length: total - numParts + 1 }, (_, i) => i + 1)
  return firsts.flatMap((first) => compositions(total - first, numParts - 1).map((rest) => [first, ...rest]))
}

describe('resolveLayerRanges', () => {
  it('gives the stage with the head fewer layers, where it takes a layer or more of what is computed', () => {
    const config = configOf()
    expect(sizesOf(config, { numStages: 1 })).toEqual([22])
    expect(sizesOf(config, { numStages: 2 })).toEqual([11, 11])
    expect(sizesOf(config, { numStages: 3 })).toEqual([7, 8, 7])
    expect(sizesOf(configOf({ vocab_size: 64_000 }), { numStages: 2 })).toEqual([12, 10])
  })

  it('counts the head of a small model with a large vocabulary for what it is', () => {
    const small = { hidden_size: 1024, intermediate_size: 3072, head_dim: 128, num_attention_heads: 16 }
    const qwen = configOf({ ...small, num_key_value_heads: 8, num_hidden_layers: 28, vocab_size: 151_936 })
    const { layers, head } = layerCosts(qwen)
    expect(head / layers[0]!).toBeGreaterThan(3)
    expect(sizesOf(qwen, { numStages: 2 })).toEqual([16, 12])
  })

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['equal layers', { num_hidden_layers: 11 }],
    [
      'sliding layers',
      { model_type: 'mistral', architectures: ['MistralForCausalLM'], sliding_window: 64, num_hidden_layers: 9 },
    ],
    [
      'layers of which some slide',
      {
        model_type: 'gemma3_text',
        architectures: ['Gemma3ForCausalLM'],
        hidden_activation: 'gelu_pytorch_tanh',
        head_dim: 256,
        query_pre_attn_scalar: 256,
        sliding_window: 128,
        sliding_window_pattern: 4,
        num_hidden_layers: 11,
      },
    ],
    [
      'layers of which some are mixtures of experts',
      {
        model_type: 'qwen3_moe',
        architectures: ['Qwen3MoeForCausalLM'],
        num_experts: 64,
        num_experts_per_tok: 8,
        moe_intermediate_size: 768,
        mlp_only_layers: [0, 1, 2, 7],
        num_hidden_layers: 10,
      },
    ],
  ])('makes the most expensive stage as cheap as can be, of %s', (_, overrides) => {
    const config = configOf(overrides)
    for (const numStages of [2, 3, 4, 5]) {
      const all = compositions(config.numLayers, numStages).map((sizes) => costOfLargest(config, sizes))
      expect(costOfLargest(config, sizesOf(config, { numStages }))).toBe(Math.min(...all))
    }
  })

  it('counts of experts those that a token visits, and of the context what a layer attends to', () => {
    const moe = {
      model_type: 'mixtral',
      architectures: ['MixtralForCausalLM'],
      num_local_experts: 8,
      num_experts_per_tok: 2,
    }
    const [dense] = layerCosts(configOf()).layers
    const [mixture] = layerCosts(configOf(moe)).layers
    expect(mixture! - dense!).toBe(2048 * (8 + 3 * 5632))
    const mistral = { model_type: 'mistral', architectures: ['MistralForCausalLM'] }
    const [sliding] = layerCosts(configOf({ ...mistral, sliding_window: 48 })).layers
    expect(dense! - sliding!).toBe(2 * 32 * 64 * 2000)
  })

  it('takes a list as it is', () => {
    expect(resolveLayerRanges(configOf(), { numStages: 3, layerSplit: [2, 19, 1] })).toEqual([
      { start: 0, end: 2 },
      { start: 2, end: 21 },
      { start: 21, end: 22 },
    ])
  })

  it.each<[string, LayerRangeOptions, RegExp]>([
    [
      'more stages than layers',
      { numStages: 23 },
      /^pp: is 23, more stages than the 22 layers of config.json; use 22 at most/,
    ],
    ['no stage', { numStages: 0 }, /^pp: .* at least 1, got 0/],
    [
      'a sum that is not the number of layers',
      { numStages: 2, layerSplit: [10, 10] },
      /^layerSplit: \[10, 10\] adds up to 20 layers, but config.json has 22/,
    ],
    [
      'a list for other stages',
      { numStages: 3, layerSplit: [11, 11] },
      /^layerSplit: \[11, 11\] is for 2 stages, but pp is 3/,
    ],
    [
      'a stage without layers',
      { numStages: 2, layerSplit: [22, 0] },
      /^layerSplit: \[22, 0\] must give each stage .* at least 1/,
    ],
    ['half a layer', { numStages: 2, layerSplit: [10.5, 11.5] }, /whole number/],
  ])('refuses %s', (_, options, message) => {
    expect(() => resolveLayerRanges(configOf(), options)).toThrow(InvalidConfigError)
    expect(() => resolveLayerRanges(configOf(), options)).toThrow(message)
  })
})
