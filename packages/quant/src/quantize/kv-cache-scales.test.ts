import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LLM } from '@octavo/core'
import { openSafetensors } from '@octavo/core/loading'
import { InvalidConfigError } from '@octavo/core/backend'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { CacheScales, LayerPass } from '../decoder-layer.ts'
import { tensorOf, writeSafetensorsFile } from '../checkpoint/safetensors-file.ts'
import { convertCheckpoint } from '../convert/convert-checkpoint.ts'
import { fixtureModels, fixturePath, openFixtureLayers } from '../model/fixture-layers.case.ts'
import type { FixtureLayers } from '../model/fixture-layers.case.ts'
import { pipeline } from '../pipeline/pipeline.ts'
import { logitsOf, readFolder, temporaryFolder } from '../pipeline/saved-models.case.ts'
import { parseRecipe } from '../recipe/parse-recipe.ts'
import { kvCacheScales } from './kv-cache-scales-pass.ts'
import { roundToNearest } from './round-to-nearest-pass.ts'

/** Where keys and values come from: rows of a module, which a fused one has behind its queries. */
const families = [
  { name: 'llama', keys: 'self_attn.k_proj', values: 'self_attn.v_proj', rotation: { theta: 500_000, share: 1 } },
  { name: 'qwen2', keys: 'self_attn.k_proj', values: 'self_attn.v_proj', rotation: { theta: 1_000_000, share: 1 } },
  { name: 'phi3', keys: 'self_attn.qkv_proj', values: 'self_attn.qkv_proj', rotation: { theta: 10_000, share: 0.75 } },
  { name: 'gpt2', keys: 'attn.c_attn', values: 'attn.c_attn', rotation: null },
] as const

describe.each(families)('keys and values of $name', ({ name, keys, values, rotation }) => {
  it('are what its projections and their rotation make', async () => {
    const fixture = await openFixtureLayers(name, { sequences: longSequences(name) })
    try {
      for (const index of [0, 1]) {
        const layer = fixture.layers[index]!
        const { numHeads, numKvHeads, headDim } = layer.config
        const isFused: boolean = keys === values
        const firstOf = { keys: isFused ? numHeads : 0, values: isFused ? numHeads + numKvHeads : 0 }
        const expected = {
          keys: await largestByHead(fixture, index, { module: keys, first: firstOf.keys * headDim, rotation }),
          values: await largestByHead(fixture, index, {
            module: values,
            first: firstOf.values * headDim,
            rotation: null,
          }),
        }
        for (const type of ['float', 'int'] as const) {
          const code = type === 'float' ? 448 : 127
          const byHead = await scalesOf(name, index, kvCacheScales({ type, strategy: 'head' }))
          expectClose(
            byHead.keys,
            expected.keys.map((value) => value / code),
          )
          expectClose(
            byHead.values,
            expected.values.map((value) => value / code),
          )
          const whole = await scalesOf(name, index, kvCacheScales({ type }))
          expect(whole.scheme).toEqual({ type, strategy: 'tensor' })
          expect([...whole.keys]).toEqual([Math.max(...byHead.keys)])
          expect([...whole.values]).toEqual([Math.max(...byHead.values)])
        }
      }
    } finally {
      fixture.dispose()
    }
  })
})

describe('kvCacheScales', () => {
  it.each(fixtureModels)('finds scales of %s, one for each head', async (name) => {
    const { keys, values } = await scalesOf(name, 1, kvCacheScales({ strategy: 'head' }))
    for (const scales of [keys, values]) {
      expect(new Set(scales).size).toBe(scales.length)
      for (const scale of scales) expect(scale).toBeGreaterThan(0)
    }
  })

  it('heeds masked tokens, which the cache holds too', async () => {
    const ids = Int32Array.from({ length: 30 }, (_, i) => (i * 37) % 90)
    const mask = new Uint8Array(30).fill(1, 29)
    const [masked, whole] = [
      await openFixtureLayers('llama', { sequences: [{ ids, mask }] }),
      await openFixtureLayers('llama', { sequences: [{ ids, mask: null }] }),
    ]
    try {
      await kvCacheScales()(masked.layers[1]!)
      await kvCacheScales()(whole.layers[1]!)
      expect(masked.layers[1]!.cacheScales).toEqual(whole.layers[1]!.cacheScales)
    } finally {
      masked.dispose()
      whole.dispose()
    }
  })

  it('has a positive scale where all values are zero', async () => {
    const fixture = await openFixtureLayers('llama')
    try {
      const layer = fixture.layers[0]!
      const module = layer.modules.find(({ name }) => name.endsWith('v_proj'))!
      module.setWeight(new Float32Array(module.rows * module.cols))
      await kvCacheScales()(layer)
      expect([...layer.cacheScales!.values]).toEqual([2 ** -23])
      await expect(async () => kvCacheScales()(layer)).rejects.toThrow(/model\.layers\.0: an earlier pass has set/)
      const scheme = { type: 'float', strategy: 'head' } as const
      const one = Float32Array.of(1)
      expect(() => layer.setCacheScales({ scheme, keys: one, values: one })).toThrow(/by head there are 2 of each/)
    } finally {
      fixture.dispose()
    }
  })

  it('refuses other types and strategies', () => {
    expect(() => kvCacheScales({ type: 'e4m3' as 'float' })).toThrow(InvalidConfigError)
    expect(() => kvCacheScales({ strategy: 'attn_head' as 'head' })).toThrow(/strategy.*must be tensor or head/)
  })
})

describe('a saved model', () => {
  it('has its scales beside the layers, and gives the same logits', async () => {
    const bare = await save('llama', [roundToNearest({ groupSize: 16, targets: ['Linear'] })])
    const path = await save('llama', [roundToNearest({ groupSize: 16, targets: ['Linear'] }), kvCacheScales()])
    expect(await logitsOf(path)).toEqual(await logitsOf(bare))
    const { kv_cache_scheme: scheme, ...section } = sectionOf(path)
    expect(scheme).toMatchObject({ num_bits: 8, type: 'float', symmetric: true, strategy: 'tensor', dynamic: false })
    expect({ ...section, kv_cache_scheme: null }).toEqual(sectionOf(bare))
    const scales = cacheTensorsOf(path)
    expect(Object.keys(scales)).toEqual(
      [0, 1, 2].flatMap((i) => ['k', 'v'].map((part) => `model.layers.${i}.self_attn.${part}_scale`)),
    )
    expect(new Set(Object.values(scales).map(({ values }) => values[0])).size).toBe(6)
    for (const { dtype, shape } of Object.values(scales))
      expect({ dtype, shape }).toEqual({ dtype: 'float32', shape: [1] })
    // Converted within the layouts that have them, they stay; others keep the tensors.
    const converted = join(temporaryFolder(), 'converted')
    await convertCheckpoint(path, converted, { to: 'compressed-tensors' })
    expect(sectionOf(converted)['kv_cache_scheme']).toEqual(scheme)
    expect(cacheTensorsOf(converted)).toEqual(scales)
  })

  it('from a recipe gives the same tokens', async () => {
    const groups = { group_0: { targets: ['Linear'], weights: { num_bits: 4, group_size: 16 } } }
    const recipe = { ignore: ['lm_head'], config_groups: groups }
    const bare = await save('llama', parseRecipe({ GPTQModifier: recipe }).passes)
    const cache = { type: 'float', strategy: 'attn_head' }
    const path = await save('llama', parseRecipe({ GPTQModifier: { ...recipe, kv_cache_scheme: cache } }).passes)
    expect(Object.keys(cacheTensorsOf(path))).toHaveLength(6)
    const tokens = await tokensOf(path)
    expect(tokens).toHaveLength(20)
    expect(tokens).toEqual(await tokensOf(bare))
  })

  it.each(['phi3', 'gpt2'])('of %s may have scales alone, by head', async (name) => {
    const path = await save(name, [kvCacheScales({ type: 'int', strategy: 'head' })])
    expect(await logitsOf(path)).toEqual(await logitsOf(fixturePath(name)))
    expect(sectionOf(path)).toMatchObject({
      quant_method: 'compressed-tensors',
      format: 'dense',
      ignore: [],
      config_groups: {},
      kv_cache_scheme: { num_bits: 8, type: 'int', strategy: 'attn_head' },
    })
    const scales = cacheTensorsOf(path)
    const prefix = name === 'phi3' ? 'model.layers.1.self_attn' : 'h.1.attn'
    const numHeads = name === 'phi3' ? 2 : 4
    const found = Object.keys(scales).find((tensor) => tensor.endsWith(`${prefix}.k_scale`))!
    expect(scales[found]).toMatchObject({ shape: [numHeads, 1, 1] })
    expect(new Set(scales[found]!.values).size).toBe(numHeads)
  })

  it('has new scales where the checkpoint had some', async () => {
    const folder = join(temporaryFolder(), 'scaled')
    cpSync(fixturePath('llama'), folder, { recursive: true, filter: (file) => !file.includes('safetensors') })
    const source = openSafetensors(fixturePath('llama'))
    const tensors = source.names().map((name) => {
      const { values, shape } = { values: source.readFloat32(name), shape: source.get(name)!.shape }
      return tensorOf({ name, dtype: 'float32', shape, bytes: new Uint8Array(values.buffer) })
    })
    source.close()
    const old = new Uint8Array(Float32Array.of(7).buffer)
    tensors.push(tensorOf({ name: 'model.layers.1.self_attn.k_scale', dtype: 'float32', shape: [1], bytes: old }))
    writeSafetensorsFile(join(folder, 'model.safetensors'), tensors)
    const expected = cacheTensorsOf(await save('llama', [kvCacheScales()]))
    expect(cacheTensorsOf(await saveFrom(folder, [kvCacheScales()]))).toEqual(expected)
  })

  it('is the same after an interruption', async () => {
    const whole = await save('llama', [kvCacheScales()])
    const target = join(temporaryFolder(), 'saved')
    const controller = new AbortController()
    const run = (signal?: AbortSignal): Promise<unknown> =>
      pipeline(fixturePath('llama'), options)
        .apply(kvCacheScales())
        .save(target, { ...(signal && { signal }), onProgress: ({ fraction }) => fraction > 0 && controller.abort() })
    await expect(run(controller.signal)).rejects.toThrow(/abort/i)
    await run()
    expect(readFolder(target)).toEqual(readFolder(whole))
  })

  it('is refused where the layout has no such scales, and where not all layers have them', async () => {
    await expect(
      pipeline(fixturePath('llama'), options)
        .apply(kvCacheScales())
        .save(join(temporaryFolder(), 'saved'), { format: 'gptq' }),
    ).rejects.toThrow(/the layout gptq has none.*save as compressed-tensors/)
    const first: LayerPass = async (layer) => {
      if (layer.index === 0) await kvCacheScales()(layer)
    }
    await expect(save('llama', [first])).rejects.toThrow(
      /model\.layers\.1: its scales of the KV cache are not of the kind/,
    )
    const negative: LayerPass = (layer) =>
      layer.setCacheScales({
        scheme: { type: 'float', strategy: 'tensor' },
        keys: Float32Array.of(1),
        values: Float32Array.of(-1),
      })
    const result = save('llama', [negative])
    await expect(result).rejects.toThrow(/model\.layers\.0.*made -1 a scale of its values/)
    await expect(result).rejects.toBeInstanceOf(QuantizationError)
  })
})

const texts = Array.from({ length: 40 }, (_, i) => `text number ${i} of many, and what it says is ${i * i}`)
const options = { backend: 'wasm', calibration: { data: texts } } as const

function save(name: string, passes: readonly LayerPass[]): Promise<string> {
  return saveFrom(fixturePath(name), passes)
}

async function saveFrom(model: string, passes: readonly LayerPass[]): Promise<string> {
  const { path } = await pipeline(model, options)
    .apply(...passes)
    .save(join(temporaryFolder(), 'saved'))
  return path
}

async function tokensOf(path: string): Promise<readonly number[]> {
  await using llm = await LLM.load(path, { backend: 'wasm' })
  const [output] = await llm.generate(['text number 5'], { maxTokens: 20, temperature: 0, ignoreEos: true })
  return output!.outputs[0]!.tokenIds
}

function sectionOf(path: string): Record<string, unknown> {
  const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8')) as {
    quantization_config: Record<string, unknown>
  }
  return config.quantization_config
}

interface CacheTensor {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly values: readonly number[]
}

/** Those of layers, sorted by name. */
function cacheTensorsOf(path: string): Record<string, CacheTensor> {
  const source = openSafetensors(path)
  const names = source
    .names()
    .filter((name) => /[kv]_scale$/.test(name))
    .toSorted()
  const tensors = names.map((name): [string, CacheTensor] => {
    const { dtype, shape, sizeInBytes, read } = source.raw(name)!
    const bytes = new Uint8Array(sizeInBytes)
    read(bytes)
    return [name, { dtype, shape, values: [...new Float32Array(bytes.buffer)] }]
  })
  source.close()
  return Object.fromEntries(tensors)
}

/** Enough tokens for a rotation to matter; none is masked, so that `observe` shows all of them. */
function longSequences(name: string): { ids: Int32Array; mask: null }[] {
  return [25, 40].map((length, s) => ({
    ids: Int32Array.from({ length }, (_, i) => (i * i * 13 + i * 7 + s * 31 + name.length) % 90),
    mask: null,
  }))
}

async function scalesOf(name: string, index: number, pass: LayerPass): Promise<CacheScales> {
  const fixture = await openFixtureLayers(name, { sequences: longSequences(name) })
  try {
    await pass(fixture.layers[index]!)
    return fixture.layers[index]!.cacheScales!
  } finally {
    fixture.dispose()
  }
}

interface Projection {
  readonly module: string
  /** Its first row that counts. */
  readonly first: number
  /** `null`: none. */
  readonly rotation: Rotation | null
}

interface Rotation {
  readonly theta: number
  /** Of a head's dimensions. */
  readonly share: number
}

/** Largest magnitudes by head, in float64 from what the module is given, its weight and its bias. */
async function largestByHead(
  { layers, batches }: FixtureLayers,
  index: number,
  { module: kind, first, rotation }: Projection,
): Promise<number[]> {
  const layer = layers[index]!
  const { numKvHeads, headDim } = layer.config
  const name = `${layer.name}.${kind}`
  const largest = new Array<number>(numKvHeads).fill(0)
  let batch = 0
  await layer.observe(({ module, input }) => {
    if (module.name !== name) return
    const weight = module.weight()
    const bias = layer.vector(`${name}.bias`) ?? new Float32Array(module.rows)
    const { positions } = batches[batch++]!.metadata
    const x = input.arraySync()
    x.forEach((row, token) => {
      const output = (feature: number): number =>
        row.reduce(
          (sum, value, i) => sum + value * weight[(first + feature) * module.cols + i]!,
          bias[first + feature]!,
        )
      for (let head = 0; head < numKvHeads; head++) {
        const values = Array.from({ length: headDim }, (_, i) => output(head * headDim + i))
        const rotated = rotation === null ? values : rotate(values, positions[token]!, rotation)
        largest[head] = Math.max(largest[head]!, ...rotated.map(Math.abs))
      }
    })
  })
  expect(batch).toBe(batches.length)
  return largest
}

/** Pairs `(i, i + half)` by `position * theta^(-2i / dim)`; of phi3 all but the last quarter. */
function rotate(values: readonly number[], position: number, { theta, share }: Rotation): number[] {
  const dim = values.length * share
  const half = dim / 2
  return values.map((value, i) => {
    if (i >= dim) return value
    const angle = position * theta ** (-(i % half) / half)
    const other = values[(i + half) % dim]!
    return value * Math.cos(angle) + (i < half ? -other : other) * Math.sin(angle)
  })
}

function expectClose(actual: Float32Array, expected: readonly number[]): void {
  expect(actual).toHaveLength(expected.length)
  expected.forEach((value, i) => expect(Math.abs(actual[i]! / value - 1)).toBeLessThan(1e-5))
}
