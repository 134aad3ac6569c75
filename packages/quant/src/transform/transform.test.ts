import { silentLogger } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { LayerPass } from '../decoder-layer.ts'
import type { CheckpointLayer } from '../model/checkpoint-layer.ts'
import { fixtureModels, openFixtureLayers } from '../model/fixture-layers.case.ts'
import { planQuantizing } from '../quantize/pass-options.ts'
import { awq, awqTransform } from './awq.ts'
import { refineScales } from './refine-scales.ts'
import { smoothPlaces } from './smooth-place.ts'
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
  refineScales: () => async (layer) => {
    const { places, shared } = smoothPlaces(layer)
    const tasks = planQuantizing({ groupSize: 'channel', logger }).tasksOf(layer)
    await refineScales(layer, { places: [...places, ...shared], tasks, sweeps: 1 })
  },
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

async function withFirstLayer<T>(name: string, use: (layer: CheckpointLayer) => Promise<T>): Promise<T> {
  const fixture = await openFixtureLayers(name)
  try {
    return await use(fixture.layers[0]!)
  } finally {
    fixture.dispose()
  }
}

/** The squares that differences of a weight add up to at its outputs. */
function outputError(differences: Float32Array, cols: number, batches: readonly Float32Array[]): number {
  let error = 0
  for (const inputs of batches)
    for (let from = 0; from < inputs.length; from += cols)
      for (let start = 0; start < differences.length; start += cols) {
        let output = 0
        for (let col = 0; col < cols; col++) output += differences[start + col]! * inputs[from + col]!
        error += output ** 2
      }
  return error
}

describe('awq', () => {
  it('cuts weights of rows that share a scale, queries and keys among them, and quantizes', async () => {
    const rounded = (clip: boolean | undefined): Promise<ReadonlyMap<string, Uint8Array>> =>
      withFirstLayer('llama', async (layer) => {
        await awq({ groupSize: 'channel', gridSize: 3, logger, ...(clip !== undefined && { clip }) })(layer)
        return new Map(layer.modules.map(({ name, quantized }) => [name, quantized!.planes]))
      })
    const [byDefault, cut, whole] = [await rounded(undefined), await rounded(true), await rounded(false)]
    expect(byDefault).toEqual(cut)
    const same = [...whole].filter(([name, bytes]) => Buffer.compare(bytes, cut.get(name)!) === 0)
    expect(same.map(([name]) => name)).toEqual([])
  })

  it('loses less by cut weights at the outputs of all that reads the same', async () => {
    const errorsAfter = (clip: boolean): Promise<Map<string, number>> =>
      withFirstLayer('llama', async (layer) => {
        const before = new Map(layer.modules.map((module) => [module.name, module.weight()]))
        const inputs = new Map<string, Float32Array[]>()
        await layer.observe(({ module, input }) => {
          inputs.set(module.name, [...(inputs.get(module.name) ?? []), input.dataSync<'float32'>().slice()])
        })
        const mappings = [{ smoothLayer: 're:.*up_proj$', balanceLayers: ['re:.*down_proj$'] }]
        await awq({ groupSize: 'channel', gridSize: 3, mappings, clip, logger })(layer)
        const unscaled = layer.modules.filter(({ name }) => !/(up|down)_proj$/.test(name))
        return new Map(
          unscaled.map((module) => {
            const original = before.get(module.name)!
            const differences = module.weight().map((value, at) => value - original[at]!)
            return [module.name, outputError(differences, module.cols, inputs.get(module.name)!)]
          }),
        )
      })
    const [cut, whole] = [await errorsAfter(true), await errorsAfter(false)]
    expect([...cut.keys()].some((name) => name.endsWith('q_proj'))).toBe(true)
    for (const [name, error] of cut) expect(error, name).toBeLessThan(whole.get(name)!)
  })

  it('refuses options that do not go together', () => {
    expect(() => awq({ groupSize: 'tensor' })).toThrow(/duoScaling/)
    expect(() => awq({ gridSize: 2 })).toThrow(InvalidConfigError)
    expect(() => awq({ groupSize: [16, 16], clip: true })).toThrow(/clip.*rows share a scale/)
    expect(() => awq({ maxSearchTokens: 0 })).toThrow(InvalidConfigError)
    expect(() => smoothQuant({ smoothingStrength: 2 })).toThrow(InvalidConfigError)
  })
})
