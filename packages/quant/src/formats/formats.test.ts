import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { LayerPass } from '../decoder-layer.ts'
import { fixtureModels, fixturePath } from '../model/fixture-layers.case.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import { logitsOf, temporaryFolder } from '../pipeline/saved-models.case.ts'
import { simplePass } from '../pipeline/test-passes.case.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { schemePresets } from '../recipe/schemes.ts'
import type { SimplePassOptions } from '../pipeline/test-passes.case.ts'

/** Its weights are float32, which holds any product of code and scale. */
const floatModel = 'llama'

/** The same weights as floats: scales that are powers of two make them exact in every dtype. */
const dequantize: LayerPass = ({ modules }) => {
  for (const module of modules) if (module.quantized !== null) module.setWeight(module.weight())
}

const roundInputs: LayerPass = ({ modules }) => {
  const scheme = {
    numBits: 8,
    type: 'int',
    isSymmetric: true,
    strategy: 'token',
    groupSize: null,
    isDynamic: true,
  } as const
  for (const module of modules) if (module.quantized !== null) module.setInputActivations(scheme)
}

interface Saved {
  readonly format: string
  readonly passes: readonly LayerPass[]
  readonly head?: boolean
  readonly embedding?: boolean
}

async function save(model: string, { format, passes, head = false, embedding = false }: Saved): Promise<string> {
  const target = join(temporaryFolder(), 'saved')
  await pipeline(fixturePath(model), { backend: 'wasm', head, embedding })
    .apply(...passes)
    .save(target, { format })
  return target
}

async function expectSameModel(
  model: string,
  { options, ...saved }: Omit<Saved, 'passes'> & { readonly options: SimplePassOptions | LayerPass },
  ...more: LayerPass[]
): Promise<string> {
  const pass = typeof options === 'function' ? options : simplePass(options)
  const quantized = await save(model, { ...saved, passes: [pass, ...more] })
  const floats = await save(model, { ...saved, passes: [pass, dequantize], format: 'compressed-tensors' })
  const [actual, expected] = [await logitsOf(quantized), await logitsOf(floats)]
  const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const error = actual.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0)
  expect(error / scale).toBeLessThan(2e-5)
  expect(expected).not.toEqual(await logitsOf(fixturePath(model)))
  return quantized
}

function quantizationOf(path: string): Record<string, unknown> {
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as {
    quantization_config: Record<string, unknown>
  }
  return config.quantization_config
}

describe.each(fixtureModels)('%s, quantized', (model) => {
  const isTied = ['gemma2', 'gemma3-text', 'gpt2', 'llama-tied-llama3rope'].includes(model)

  it('as compressed-tensors: core reads the model that was saved', async () => {
    await expectSameModel(model, { format: 'compressed-tensors', options: { bits: 4, groupSize: 16 } })
  })

  it('with zeros, embedding and head', async () => {
    const options = { bits: 3, groupSize: 'channel', hasZeros: true } as const
    await expectSameModel(model, { format: 'compressed-tensors', options, embedding: true, head: !isTied })
  })
})

describe('compressed-tensors', () => {
  it('has codes of eight bits unpacked where inputs are rounded too', async () => {
    const saved = { format: 'compressed-tensors', options: { bits: 8, groupSize: 'channel' } } as const
    const path = await expectSameModel('llama', saved, roundInputs)
    expect(quantizationOf(path)).toMatchObject({
      quant_method: 'compressed-tensors',
      format: 'int-quantized',
      ignore: ['lm_head'],
      config_groups: {
        group_0: {
          targets: ['Linear'],
          weights: { num_bits: 8, type: 'int', symmetric: true, strategy: 'channel', group_size: null },
          input_activations: { num_bits: 8, strategy: 'token', dynamic: true },
        },
      },
    })
  })

  it('names the modules of several schemes, and those that are left as they were', async () => {
    const target = join(temporaryFolder(), 'saved')
    const mixed: LayerPass = async (layer) => {
      await simplePass({ bits: 4, groupSize: 16, skips: /down_proj|o_proj/ })(layer)
      await simplePass({ bits: 8, groupSize: 'channel', skips: /(?<!down_proj)$/ })(layer)
    }
    await pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(mixed).save(target)
    const { config_groups: groups, ignore } = quantizationOf(target) as {
      config_groups: Record<string, { targets: string[] }>
      ignore: string[]
    }
    const downs = groups['group_1']!.targets
    expect(downs[0]).toBe('model.layers.0.mlp.down_proj')
    expect(downs.every((name) => name.endsWith('down_proj'))).toBe(true)
    expect(groups['group_0']!.targets).toHaveLength(5 * downs.length)
    expect(ignore).toEqual([...downs.map((name) => name.replace('mlp.down_proj', 'self_attn.o_proj')), 'lm_head'])
    await expect(logitsOf(target)).resolves.toBeDefined()
  })
})

describe.each(['gptq', 'gptq_v2'])('%s', (format) => {
  it.each(['llama', 'phi3', 'gpt2', 'qwen3-moe'] as const)('holds %s', async (model) => {
    const options = { bits: 4, groupSize: 16, hasZeros: true } as const
    const path = await expectSameModel(model, { format, options })
    expect(quantizationOf(path)).toMatchObject({
      quant_method: 'gptq',
      bits: 4,
      group_size: 16,
      sym: false,
      desc_act: false,
      checkpoint_format: format,
    })
  })

  it('says which modules differ', async () => {
    const target = join(temporaryFolder(), 'saved')
    const mixed: LayerPass = async (layer) => {
      await simplePass({ bits: 4, groupSize: 16, skips: /down_proj|o_proj/ })(layer)
      await simplePass({ bits: 8, groupSize: 'channel', skips: /(?<!down_proj)$/ })(layer)
    }
    await pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(mixed).save(target, { format })
    const { dynamic } = quantizationOf(target) as { dynamic: Record<string, unknown> }
    expect(dynamic['+:^model\\.layers\\.1\\.mlp\\.down_proj$']).toMatchObject({ bits: 8, group_size: -1 })
    expect(dynamic['-:^model\\.layers\\.0\\.self_attn\\.o_proj$']).toEqual({})
    await expect(logitsOf(target)).resolves.toBeDefined()
  })

  it.each([
    [{ bits: 5, groupSize: 16 }, /q_proj: GPTQ's layout can't hold it: GPTQ holds codes of 2, 3, 4, 8 bits, not 5/],
  ] as const)('refuses what it can’t hold by module and remedy', async (options, message) => {
    await expect(save('llama', { format, passes: [simplePass(options)] })).rejects.toThrow(message)
  })
})

describe('awq', () => {
  it('holds 4 bits in groups with zeros', async () => {
    const path = await expectSameModel('llama', { format: 'awq', options: { bits: 4, groupSize: 16, hasZeros: true } })
    expect(quantizationOf(path)).toMatchObject({
      quant_method: 'awq',
      bits: 4,
      group_size: 16,
      zero_point: true,
      version: 'gemm',
      modules_to_not_convert: ['lm_head'],
    })
  })

  it('refuses channels by the module', async () => {
    const options = { bits: 4, groupSize: 'channel' } as const
    await expect(save('llama', { format: 'awq', passes: [simplePass(options)] })).rejects.toThrow(
      /model\.layers\.0\.self_attn\.q_proj: AWQ's layout can't hold it: it has groups, not channels/,
    )
  })
})

describe('floats', () => {
  const float8 = { type: 'float', bits: 8 } as const
  const float4 = { ...schemePresets.MXFP4A16.weights }

  it.each([
    ['per channel', { ...float8, groupSize: 'channel' }, { strategy: 'channel', num_bits: 8, type: 'float' }],
    ['per tensor', { ...float8, groupSize: 'tensor' }, { strategy: 'tensor' }],
    ['in blocks', { ...float8, groupSize: [32, 32] }, { strategy: 'block', block_structure: [32, 32] }],
    ['in groups', { ...float8, groupSize: 32 }, { strategy: 'group', group_size: 32 }],
  ] as const)('FP8 %s', async (_, options, weights) => {
    const path = await expectSameModel(floatModel, { format: 'compressed-tensors', options: roundToNearest(options) })
    expect(quantizationOf(path)).toMatchObject({ format: 'float-quantized', config_groups: { group_0: { weights } } })
  })

  it.each([
    ['MXFP4A16', 'mxfp4-pack-quantized', { strategy: 'group', group_size: 32, num_bits: 4 }],
    ['NVFP4A16', 'nvfp4-pack-quantized', { strategy: 'tensor_group', group_size: 16, num_bits: 4 }],
  ] as const)('%s', async (scheme, format, weights) => {
    const options = roundToNearest({ scheme: schemePresets[scheme].weights })
    const path = await expectSameModel(floatModel, { format: 'compressed-tensors', options })
    expect(quantizationOf(path)).toMatchObject({ format, config_groups: { group_0: { weights } } })
  })

  it('in DeepSeek’s layout', async () => {
    const options = roundToNearest({ ...float8, groupSize: [32, 32] })
    const path = await expectSameModel(floatModel, { format: 'fp8', options })
    expect(quantizationOf(path)).toMatchObject({
      quant_method: 'fp8',
      weight_block_size: [32, 32],
      modules_to_not_convert: ['lm_head'],
    })
  })

  it.each([
    ['fp8', roundToNearest({ ...float8, groupSize: 'channel' }), /q_proj: the fp8 layout can't hold it: .*FP8_BLOCK/],
    ['gptq', roundToNearest({ scheme: float4 }), /q_proj: GPTQ's layout can't hold it: GPTQ holds integers/],
    ['awq', roundToNearest({ scheme: float4 }), /q_proj: AWQ's layout can't hold it/],
    [
      'compressed-tensors',
      roundToNearest({ scheme: { ...float4, groupSize: 64 } }),
      /q_proj: compressed-tensors can't hold it: /,
    ],
  ] as const)('are refused by %s where it has no room for them', async (format, pass, message) => {
    await expect(save(floatModel, { format, passes: [pass] })).rejects.toThrow(message)
  })
})

describe('a format that does not exist', () => {
  it('is answered with the nearest', async () => {
    const options = { bits: 4, groupSize: 16 } as const
    await expect(save('llama', { format: 'gptqv2', passes: [simplePass(options)] })).rejects.toThrow(
      /there is no format "gptqv2"; did you mean "gptq_v2"\?/,
    )
  })
})
