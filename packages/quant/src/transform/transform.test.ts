import { silentLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { LayerPass } from '../decoder-layer.ts'
import { fixtureModels, openFixtureLayers } from '../model/fixture-layers.case.ts'
import { awq, awqTransform } from './awq.ts'
import { logEqualization, smoothQuant } from './smooth-quant.ts'

const logger = silentLogger

/** What all layers make of the calibration tokens, each changed by the pass before it runs. */
async function outputsAfter(name: string, pass: LayerPass | null): Promise<Float32Array[][]> {
  const fixture = await openFixtureLayers(name)
  try {
    const { layers, stream, batches } = fixture
    const outputs: Float32Array[][] = []
    for (const layer of layers) {
      await stream.reach(layer.index)
      await pass?.(layer)
      await stream.advance(layer)
      const store = await stream.reach(layer.index + 1)
      outputs.push(batches.map((_, batch) => store.read(batch).slice()))
    }
    return outputs
  } finally {
    fixture.dispose()
  }
}

function largestError(actual: readonly Float32Array[], expected: readonly Float32Array[]): number {
  let [error, scale] = [0, 0]
  expected.forEach((values, batch) =>
    values.forEach((value, i) => {
      scale = Math.max(scale, Math.abs(value))
      error = Math.max(error, Math.abs(value - actual[batch]![i]!))
    }),
  )
  return error / scale
}

const passes: Readonly<Record<string, () => LayerPass>> = {
  awqTransform: () => awqTransform({ groupSize: 'channel', gridSize: 5, clip: false, logger }),
  smoothQuant: () => smoothQuant({ logger }),
  logEqualization: () => logEqualization({ logger }),
}

describe.each(fixtureModels)('%s', (name) => {
  it.each(Object.keys(passes))('computes the same after %s', async (pass) => {
    const expected = await outputsAfter(name, null)
    const actual = await outputsAfter(name, passes[pass]!())
    expected.forEach((layer, index) => expect(largestError(actual[index]!, layer), `layer ${index}`).toBeLessThan(1e-5))
  })
})

describe('where channels can be scaled', () => {
  async function changedBy(name: string, pass: LayerPass): Promise<string[]> {
    const fixture = await openFixtureLayers(name)
    try {
      const [layer] = fixture.layers
      await pass(layer!)
      const { modules, vectors } = layer!.changes
      return [...modules.keys(), ...vectors.keys()].map((changed) => changed.slice(layer!.name.length + 1)).sort()
    } finally {
      fixture.dispose()
    }
  }

  it('is what the design says', async () => {
    expect(await changedBy('llama', smoothQuant({ logger }))).toEqual([
      'input_layernorm.weight',
      'mlp.gate_proj',
      'mlp.up_proj',
      'post_attention_layernorm.weight',
      'self_attn.k_proj',
      'self_attn.q_proj',
      'self_attn.v_proj',
    ])
    expect(await changedBy('gpt2', smoothQuant({ logger }))).toEqual([
      'attn.c_attn',
      'ln_1.bias',
      'ln_1.weight',
      'ln_2.bias',
      'ln_2.weight',
      'mlp.c_fc',
    ])
    expect(await changedBy('qwen3-moe', smoothQuant({ logger }))).toEqual([
      'input_layernorm.weight',
      'self_attn.k_proj',
      'self_attn.q_proj',
      'self_attn.v_proj',
    ])
  })

  it('is said where a model has no such place', async () => {
    const said: string[] = []
    const collecting: Logger = { ...silentLogger, info: (message) => void said.push(message) }
    expect(await changedBy('olmo2', smoothQuant({ logger: collecting }))).toEqual([])
    expect(said).toHaveLength(2)
    expect(said[0]).toMatch(/self_attn\.q_proj.*no norm stands before it/)
  })

  it('is what mappings name, readers complete', async () => {
    const mappings = [{ smoothLayer: 're:.*post_attention_layernorm$', balanceLayers: ['re:.*(gate|up)_proj$'] }]
    expect(await changedBy('llama', smoothQuant({ mappings, logger }))).toEqual([
      'mlp.gate_proj',
      'mlp.up_proj',
      'post_attention_layernorm.weight',
    ])
    const incomplete = [{ smoothLayer: 're:.*input_layernorm$', balanceLayers: ['re:.*q_proj$', 're:.*k_proj$'] }]
    await expect(changedBy('llama', smoothQuant({ mappings: incomplete, logger }))).rejects.toThrow(
      /layers\.0: model\.layers\.0\.self_attn\.v_proj read what .*input_layernorm makes/,
    )
    const wrong = [{ smoothLayer: 're:.*q_proj$', balanceLayers: ['re:.*o_proj$'] }]
    await expect(changedBy('llama', smoothQuant({ mappings: wrong, logger }))).rejects.toThrow(QuantizationError)
  })
})

describe('awq', () => {
  it('cuts weights of rows that share a scale, and quantizes', async () => {
    const fixture = await openFixtureLayers('llama')
    try {
      const [layer] = fixture.layers
      await awq({ groupSize: 'channel', gridSize: 3, logger })(layer!)
      expect(layer!.modules.every(({ quantized }) => quantized !== null)).toBe(true)
      await expect(awqTransform({ groupSize: 'channel', logger })(layer!)).resolves.toBeUndefined()
    } finally {
      fixture.dispose()
    }
  })

  it('refuses options that do not go together', () => {
    expect(() => awq({ groupSize: 'tensor' })).toThrow(/duoScaling/)
    expect(() => awq({ gridSize: 2 })).toThrow(InvalidConfigError)
    expect(() => awq({ maxSearchTokens: 0 })).toThrow(InvalidConfigError)
    expect(() => smoothQuant({ smoothingStrength: 2 })).toThrow(InvalidConfigError)
  })
})
