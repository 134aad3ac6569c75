import { fileURLToPath } from 'node:url'
import { CheckpointError } from '@octavo/core'
import { embeddedModelPath } from '@octavo/core/loading'
import { describe, expect, it } from 'vitest'
import { inspectModel } from './inspect-model.ts'
import { partOf } from './module-tensors.ts'

const fixture = (path: string): string => fileURLToPath(new URL(`../../../../fixtures/${path}`, import.meta.url))

describe('inspectModel', () => {
  it('says what octavo-tiny is', async () => {
    const inspection = await inspectModel(embeddedModelPath('octavo-tiny'), 1024 ** 3)
    expect(inspection).toMatchObject({
      architecture: 'LlamaForCausalLM',
      numLayers: 5,
      vocabSize: 2560,
      experts: null,
      quantization: null,
      numParameters: 3_443_456,
      bytes: 2 * 3_443_456,
      formats: [{ name: 'bfloat16', numParameters: 3_443_456, bytes: 2 * 3_443_456 }],
      maxPositions: 1024,
      // Keys and values of 5 layers, 2 heads of 32.
      kvBytesPerToken: { float32: 5 * 2 * 2 * 32 * 4, bfloat16: 5 * 2 * 2 * 32 * 2 },
      memory: { fits: true, maxContextTokens: 1024 },
    })
    const embedding = inspection.parts.find(({ name }) => name === 'embedding')
    expect(embedding).toEqual({ name: 'embedding', numParameters: 2560 * 256, bytes: 2 * 2560 * 256 })
    expect(inspection.parts.map(({ name }) => name)).toEqual(['MLP', 'attention', 'embedding', 'norms'])
  })

  it('says what embedders and classifiers make of a text', async () => {
    const encoder = await inspectModel(fixture('models/bert-embed'), 1024 ** 3)
    expect(encoder).toMatchObject({
      architecture: 'BertModel',
      pooling: { tasks: ['embed', 'token_embed'], canGenerate: false, type: 'mean', dimensions: 64 },
      maxPositions: 256,
      kvBytesPerToken: { float32: 0 },
      memory: { fits: true, maxContextTokens: 256 },
    })
    const names = encoder.parts.map(({ name }) => name)
    expect(names).toEqual(['embedding', 'attention', 'MLP', 'classifier', 'norms'])
    const classifier = await inspectModel(fixture('models/qwen3-seqcls'), 1024 ** 3)
    expect(classifier).toMatchObject({
      pooling: { tasks: ['classify', 'token_classify'], classifier: { numLabels: 3 } },
    })
    expect(classifier.parts.find(({ name }) => name === 'classifier')?.numParameters).toBe(3 * 64)
  })

  it('counts the weights of a quantized checkpoint, not its tensors', async () => {
    const { numParameters, quantization, formats, parts } = await inspectModel(fixture('quantized/gptq-v2'))
    expect(quantization).toBe('gptq')
    const [int4] = formats
    expect(int4!.name).toBe('gptq: int4 in groups of 32 with zeros, scales in float16')
    expect((8 * int4!.bytes) / int4!.numParameters).toBeGreaterThan(4.5)
    expect((8 * int4!.bytes) / int4!.numParameters).toBeLessThan(5.5)
    for (const shares of [formats, parts])
      expect(shares.reduce((sum, share) => sum + share.numParameters, 0)).toBe(numParameters)
    expect(formats.map(({ name }) => name)).not.toContain('int32')
  })

  it('reads GGUF files', async () => {
    const { formats, architecture } = await inspectModel(fixture('gguf/llama-q4_0.gguf'))
    expect(architecture).toBe('LlamaForCausalLM')
    expect(formats.map(({ name }) => name)).toEqual(['q4_0', 'float32'])
  })

  it('counts experts', async () => {
    const { experts, parts } = await inspectModel(fixture('models/mixtral'))
    expect(experts!.numExperts).toBeGreaterThan(experts!.numExpertsPerToken)
    expect(parts[0]!.name).toBe('experts')
  })

  it('says how much context the memory holds, or that it does not fit', async () => {
    const path = embeddedModelPath('octavo-tiny')
    const { bytes, kvBytesPerToken } = await inspectModel(path)
    const beside = (numTokens: number): number => 128 * 1024 ** 2 + bytes + numTokens * kvBytesPerToken.float32
    expect((await inspectModel(path, beside(300))).memory).toMatchObject({ fits: true, maxContextTokens: 300 })
    expect((await inspectModel(path, beside(200))).memory).toMatchObject({ fits: false, maxContextTokens: 200 })
    expect((await inspectModel(path, 0)).memory).toMatchObject({ fits: false, maxContextTokens: 0 })
  })

  it('says what is no model', async () => {
    await expect(inspectModel('/no/such/model')).rejects.toThrow(CheckpointError)
  })
})

it.each([
  ['model.layers.3.mlp.experts.7.up_proj', 'experts'],
  ['model.layers.3.mlp.gate.weight', 'MLP'],
  ['model.layers.3.self_attn.q_norm.weight', 'norms'],
  ['transformer.h.2.attn.c_attn', 'attention'],
  ['transformer.wte.weight', 'embedding'],
  ['lm_head', 'head'],
  ['vision.thing', 'other'],
])('partOf %s', (name, part) => {
  expect(partOf(name)).toBe(part)
})
