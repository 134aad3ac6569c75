import { memory, tidy } from '@tensorflow/tfjs-core'
import { singleRank } from '@octavo/core/model'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { ModuleInput } from '../decoder-layer.ts'
import { fixtureModels, openFixtureLayers } from './fixture-layers.case.ts'
import type { FixtureLayers } from './fixture-layers.case.ts'

const moduleKinds: Readonly<Record<string, readonly string[]>> = {
  gpt2: ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'],
  phi3: ['self_attn.qkv_proj', 'self_attn.o_proj', 'mlp.gate_up_proj', 'mlp.down_proj'],
  llama: [
    'self_attn.q_proj',
    'self_attn.k_proj',
    'self_attn.v_proj',
    'self_attn.o_proj',
    'mlp.gate_proj',
    'mlp.up_proj',
    'mlp.down_proj',
  ],
}

describe.each(fixtureModels)('layers of %s', (name) => {
  it('compute what the model computes, from layer to layer', async () => {
    const fixture = await openFixtureLayers(name)
    try {
      const { layers, stream, batches, model } = fixture
      for (const layer of layers) {
        await stream.reach(layer.index)
        await stream.advance(layer)
        const store = await stream.reach(layer.index + 1)
        batches.forEach((_, b) => expectClose(store.read(b), modelStates(fixture, b, layer.index + 1)))
      }
      expect(model.config.numLayers).toBeGreaterThan(1)
    } finally {
      fixture.dispose()
    }
  })

  it('have their modules by transformers’ names, and show what these are given', async () => {
    const fixture = await openFixtureLayers(name)
    try {
      const layer = fixture.layers[1]!
      const seen = new Map<string, number>()
      await layer.observe(({ module, input }) => {
        expect(input.shape[1]).toBe(module.cols)
        seen.set(module.name, (seen.get(module.name) ?? 0) + input.shape[0])
      })
      const kinds = moduleKinds[name]
      if (kinds !== undefined) expect([...seen.keys()]).toEqual(kinds.map((kind) => `${layer.name}.${kind}`))
      for (const module of layer.modules) {
        const rows = seen.get(module.name) ?? 0
        // 93 tokens, five of them masked.
        if (module.role !== 'expert') expect(rows, module.name).toBe(88)
        else expect(rows).toBeLessThan(88)
        expect(module.weight()).toHaveLength(module.rows * module.cols)
      }
      const experts = layer.modules.filter(
        ({ role, name: expert }) => role === 'expert' && expert.endsWith('down_proj'),
      )
      const topK = fixture.model.config.moe?.numExpertsPerToken ?? 0
      if (experts.length > 0)
        expect(experts.reduce((sum, expert) => sum + (seen.get(expert.name) ?? 0), 0)).toBe(88 * topK)
    } finally {
      fixture.dispose()
    }
  })
})

describe('a layer that passes change', () => {
  it('computes with the new weight at once, and is as before when it is put back', async () => {
    const fixture = await openFixtureLayers('phi3')
    try {
      const layer = fixture.layers[0]!
      const module = layer.modules[0]!
      const before = await outputs(fixture, 'attention')
      const original = module.weight()
      module.setWeight(original.map((value) => value * 2))
      expect(module.weight()[5]).toBe(original[5]! * 2)
      expect(await outputs(fixture, 'attention')).not.toEqual(before)
      module.setWeight(original)
      expect(await outputs(fixture, 'attention')).toEqual(before)
    } finally {
      fixture.dispose()
    }
  })

  it('shows a norm that was changed and what it is given then', async () => {
    const fixture = await openFixtureLayers('llama')
    try {
      const layer = fixture.layers[0]!
      const first = async (): Promise<Float32Array> => {
        const given: Float32Array[] = []
        await layer.observe(({ input }: ModuleInput) => void given.push(input.dataSync<'float32'>().slice()))
        return given[0]!
      }
      const norm = 'model.layers.0.input_layernorm.weight'
      const before = await first()
      layer.setVector(
        norm,
        layer.vector(norm)!.map((value) => value * 4),
      )
      expect(await first()).toEqual(before.map((value) => value * 4))
      expect(layer.changes.vectors.has(norm)).toBe(true)
      expect(layer.vector('model.layers.0.input_layernorm.bias')).toBeNull()
      expect(() => layer.setVector('model.layers.0.norm.weight', new Float32Array(4))).toThrow(QuantizationError)
      expect(() => layer.setVector(norm, new Float32Array(4))).toThrow(/a pass sets 4 values/)
    } finally {
      fixture.dispose()
    }
  })

  it('restores changes to the same bits', async () => {
    const [one, other] = [await openFixtureLayers('qwen3-moe'), await openFixtureLayers('qwen3-moe')]
    try {
      for (const module of one.layers[0]!.modules) module.setWeight(module.weight().map((value) => value * 0.5))
      other.layers[0]!.restore(one.layers[0]!.changes)
      await Promise.all([one.stream.reach(0), other.stream.reach(0)])
      await one.stream.advance(one.layers[0]!)
      await other.stream.advance(other.layers[0]!)
      const [a, b] = [await one.stream.reach(1), await other.stream.reach(1)]
      expect(a.read(1)).toEqual(b.read(1))
    } finally {
      one.dispose()
      other.dispose()
    }
  })

  it('leaves no tensors behind', async () => {
    const fixture = await openFixtureLayers('gemma2')
    const before = memory().numTensors
    const layer = fixture.layers[0]!
    await layer.observeSublayers((given) => layer.runSublayer(given).dispose())
    const tables = memory().numTensors
    await layer.observe(() => {})
    expect(memory().numTensors).toBe(tables)
    fixture.dispose()
    expect(memory().numTensors).toBeLessThan(before)
  })

  it('refuses to show anything without calibration', async () => {
    const fixture = await openFixtureLayers('llama', { sequences: [] })
    try {
      await expect(fixture.layers[0]!.observe(() => {})).rejects.toThrow(/model\.layers\.0: .*no calibration/)
    } finally {
      fixture.dispose()
    }
  })
})

/** What a sublayer gives of what it is given. */
async function outputs({ layers }: FixtureLayers, kind: 'attention' | 'mlp'): Promise<Float32Array[]> {
  const layer = layers[0]!
  const given: Float32Array[] = []
  await layer.observeSublayers((sublayer) => {
    if (sublayer.kind === kind) given.push(layer.runSublayer(sublayer).dataSync<'float32'>().slice())
  })
  return given
}

/**
 * The stream before layer `end`, of the whole stage at once. A stage that ends at the last layer would norm it, so the model
 * has one more here, which is never loaded.
 */
function modelStates({ model, pack, batches }: FixtureLayers, batch: number, end: number): Float32Array {
  const { config, definition, source } = model
  const stage = definition.load({
    config: { ...config, numLayers: config.numLayers + 1 },
    source,
    pack,
    dtype: 'float32',
    communicator: singleRank,
    layers: { start: 0, end },
  })
  const kv = pack.createKvStorage({ ...stage.kvShape, dtype: 'float32', numBlocks: 32, blockSize: 16 })
  const { metadata, ids } = batches[batch]!
  const output = tidy(() => stage.forward(ids, { metadata, kv, tokens: null }))
  const values = output.dataSync<'float32'>()
  output.dispose()
  kv.dispose()
  stage.dispose()
  return values
}

function expectClose(actual: Float32Array, expected: Float32Array): void {
  expect(actual).toHaveLength(expected.length)
  const scale = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const error = actual.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0)
  expect(error / scale).toBeLessThan(1e-5)
}
