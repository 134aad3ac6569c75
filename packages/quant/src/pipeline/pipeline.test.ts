import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeRow, openSafetensors } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import type { DecoderLayer, LayerPass } from '../decoder-layer.ts'
import { definePass } from '../decoder-layer.ts'
import { tensorOf, writeSafetensorsFile } from '../checkpoint/safetensors-file.ts'
import { fixtureModels, fixturePath } from '../model/fixture-layers.case.ts'
import { pipeline } from './pipeline.ts'
import type { QuantizationProgress } from './progress.ts'
import { logitsOf, readFolder, temporaryFolder } from './saved-models.case.ts'

const identity: LayerPass = (layer) => {
  for (const module of layer.modules) module.setWeight(module.weight())
  for (const name of [`${layer.name}.input_layernorm.weight`, `${layer.name}.ln_1.bias`]) {
    const values = layer.vector(name)
    if (values !== null) layer.setVector(name, values)
  }
}

const options = { backend: 'wasm', embedding: true } as const

describe.each(fixtureModels)('a pass that changes nothing, over %s', (name) => {
  it('saves the same tensors, and so the same logits', async () => {
    const [source, target] = [fixturePath(name), join(temporaryFolder(), 'saved')]
    const { path } = await pipeline(source, options).apply(identity).save(target)
    expect(tensorsOf(path)).toEqual(tensorsOf(source))
    expect(await logitsOf(path)).toEqual(await logitsOf(source))
    expect(JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))).toEqual(
      JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')),
    )
    const others = (folder: string): string[] =>
      readdirSync(folder)
        .filter((file) => file !== 'golden.json' && !file.includes('safetensors'))
        .sort()
    expect(others(path)).toEqual(others(source))
  })
})

describe('a pass that changes weights', () => {
  it.each(['gpt2', 'mixtral', 'gpt-oss', 'phi3'] as const)(
    'is in what is saved, whichever way %s stores it',
    async (name) => {
      const target = join(temporaryFolder(), 'saved')
      const double: LayerPass = (layer) => {
        for (const module of layer.modules) module.setWeight(module.weight().map((value) => value * 2))
      }
      const halve: LayerPass = (layer) => {
        for (const module of layer.modules) module.setWeight(module.weight().map((value) => value / 2))
      }
      await pipeline(fixturePath(name), { backend: 'wasm' }).apply(double).save(target)
      expect(await logitsOf(target)).not.toEqual(await logitsOf(fixturePath(name)))
      const back = join(temporaryFolder(), 'back')
      await pipeline(target, { backend: 'wasm' }).apply(halve).save(back)
      expect(tensorsOf(back)).toEqual(tensorsOf(fixturePath(name)))
    },
  )

  it('shows a later layer what the changed ones before it compute, and a head what all do', async () => {
    const seen = new Map<string, number>()
    const watch = definePass({ name: 'watch', options: null, needsCalibration: true }, async (layer) => {
      await layer.observe(({ module, input }) => {
        const sum = input.dataSync<'float32'>().reduce((total, value) => total + Math.abs(value), 0)
        seen.set(module.name, (seen.get(module.name) ?? 0) + sum)
      })
    })
    const clear: LayerPass = ({ kind, modules }) => {
      if (kind !== 'decoder') return
      for (const module of modules)
        if (/(o_proj|down_proj)$/.test(module.name)) module.setWeight(new Float32Array(module.rows * module.cols))
    }
    const run = (...passes: LayerPass[]): Promise<unknown> =>
      pipeline(fixturePath('llama'), { backend: 'wasm', head: true, calibration: { data: texts } })
        .apply(...passes)
        .save(join(temporaryFolder(), 'saved'))
    await run(watch, clear)
    const cleared = new Map(seen)
    seen.clear()
    await run(watch)
    const of = (sums: ReadonlyMap<string, number>, layer: number): number =>
      sums.get(`model.layers.${layer}.self_attn.q_proj`)!
    expect(of(cleared, 0)).toBe(of(seen, 0))
    expect(of(cleared, 1)).not.toBe(of(seen, 1))
    expect(cleared.get('lm_head')).toBeGreaterThan(0)
    expect(cleared.get('lm_head')).not.toBe(seen.get('lm_head'))
  })

  it('is cut into shards with an index', async () => {
    const target = join(temporaryFolder(), 'saved')
    await pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(identity).save(target, { maxShardSize: 200_000 })
    const files = readdirSync(target).filter((file) => file.endsWith('.safetensors'))
    expect(files.length).toBeGreaterThan(2)
    expect(files[0]).toBe(`model-00001-of-0000${files.length}.safetensors`)
    expect(await logitsOf(target)).toEqual(await logitsOf(fixturePath('llama')))
  })

  it('reports how far it is and how long it takes', async () => {
    const reports: QuantizationProgress[] = []
    await pipeline(fixturePath('llama'), { backend: 'wasm' })
      .apply(identity)
      .save(join(temporaryFolder(), 'saved'), { onProgress: (report) => reports.push(report) })
    expect(reports.map(({ fraction }) => fraction)).toEqual(
      reports.map(({ fraction }) => fraction).toSorted((a, b) => a - b),
    )
    expect(reports.at(-1)).toMatchObject({ phase: 'checkpoint', fraction: 1 })
    expect(reports.find(({ phase, fraction }) => phase === 'layers' && fraction > 0)?.secondsLeft).toBeGreaterThan(0)
  })
})

describe('what goes wrong', () => {
  const save = (pass: LayerPass, model = 'llama', target = join(temporaryFolder(), 'saved')): Promise<unknown> =>
    pipeline(fixturePath(model), { backend: 'wasm' }).apply(pass).save(target)

  it('names layer and module of a NaN, and writes nothing', async () => {
    const target = join(temporaryFolder(), 'saved')
    const pass = definePass({ name: 'careless', options: null }, ({ index, modules }) => {
      const module = modules[3]!
      if (index === 1) module.setWeight(module.weight().map((value, i) => (i === 7 ? NaN : value)))
    })
    await expect(save(pass, 'llama', target)).rejects.toThrow(
      /model\.layers\.1\.self_attn\.o_proj: the pass careless made its weight NaN at 7/,
    )
    expect(existsSync(target)).toBe(false)
  })

  it('names the layer of a pass that throws, and keeps its error', async () => {
    const failure = new Error('no idea')
    const result = save(function clumsy() {
      throw failure
    })
    await expect(result).rejects.toThrow('model.layers.0: the pass clumsy failed: no idea')
    await expect(result).rejects.toMatchObject({ code: 'quantization_error', layer: 'model.layers.0', cause: failure })
  })

  it('refuses weights of another shape by module and size', async () => {
    await expect(save(({ modules }) => modules[0]!.setWeight(new Float32Array(3)))).rejects.toThrow(
      /q_proj: a pass sets 3 values/,
    )
  })

  it('refuses values that float16 does not reach', async () => {
    const big: LayerPass = ({ modules }: DecoderLayer) => modules[0]!.setWeight(modules[0]!.weight().fill(1e6))
    const run = pipeline(halfPrecision('llama'), { backend: 'wasm' }).apply(big)
    await expect(run.save(join(temporaryFolder(), 'saved'))).rejects.toThrow(
      /q_proj\.weight: a pass sets 1000000.*float16 ends at 65504/,
    )
  })

  it('leaves a folder that is there alone, unless it may be replaced', async () => {
    const target = join(temporaryFolder(), 'saved')
    mkdirSync(target)
    writeFileSync(join(target, 'precious.txt'), 'mine')
    await expect(save(identity, 'llama', target)).rejects.toThrow(/is there already.*--overwrite/)
    const overwrite = (path: string): Promise<unknown> =>
      pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(identity).save(path, { overwrite: true })
    await expect(overwrite(target)).rejects.toThrow(/a folder without a config\.json.*not replaced/)
    expect(readdirSync(target)).toEqual(['precious.txt'])
    await expect(overwrite(join(target, 'precious.txt'))).rejects.toThrow(/is no folder/)
    writeFileSync(join(target, 'config.json'), '{}')
    await overwrite(target)
    expect(existsSync(join(target, 'precious.txt'))).toBe(false)
    expect(existsSync(join(target, 'model.safetensors'))).toBe(true)
    expect(readdirSync(join(target, '..'))).toEqual(['saved'])
  })

  it('asks for calibration before anything is done', async () => {
    const pass = definePass({ name: 'gptq', options: null, needsCalibration: true }, () => {})
    await expect(save(pass)).rejects.toThrow(/the pass gptq looks at what layers are given.*--calibration/)
  })

  it('refuses a head that is the embedding', async () => {
    const result = pipeline(fixturePath('gemma2'), { backend: 'wasm', head: true }).apply(identity)
    await expect(result.save(join(temporaryFolder(), 'saved'))).rejects.toThrow(/is tied.*`embedding: true`/)
  })

  it('refuses what is quantized already, and GGUF files', async () => {
    const folder = join(temporaryFolder(), 'quantized')
    mkdirSync(folder)
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ quantization_config: { quant_method: 'awq' } }))
    const run = (path: string): Promise<unknown> =>
      pipeline(path).apply(identity).save(join(temporaryFolder(), 'saved'))
    await expect(run(folder)).rejects.toThrow(/is quantized already.*config\.json says so/)
    await expect(run(folder)).rejects.toBeInstanceOf(QuantizationError)
  })

  it('says when a run is repeated otherwise, and begins anew if asked to', async () => {
    const target = join(temporaryFolder(), 'saved')
    const fail: LayerPass = definePass({ name: 'p', options: 1 }, ({ index }) => {
      if (index === 1) throw new Error('stop')
    })
    await expect(save(fail, 'llama', target)).rejects.toThrow(/stop/)
    const other = definePass({ name: 'p', options: 2 }, identity)
    await expect(save(other, 'llama', target)).rejects.toThrow(/interrupted.*it had other passes.*--restart/)
    await pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(other).save(target, { restart: true })
    expect(readFolder(target)['config.json']).toBeDefined()
  })

  it('stops when it is told to, between passes', async () => {
    const controller = new AbortController()
    const pass: LayerPass = ({ index }) => {
      if (index === 0) controller.abort()
    }
    const result = pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(pass)
    await expect(result.save(join(temporaryFolder(), 'saved'), { signal: controller.signal })).rejects.toThrow(/abort/i)
  })
})

const texts = Array.from({ length: 40 }, (_, i) => `text number ${i} of many, and what it says is ${i * i}`)

/** Every tensor as it lies in the file. */
function tensorsOf(path: string): Record<string, unknown> {
  const source = openSafetensors(path)
  const tensors = source.names().map((name) => {
    const { dtype, shape, sizeInBytes, read } = source.raw(name)!
    const bytes = new Uint8Array(sizeInBytes)
    read(bytes)
    return [name, { dtype, shape, bytes: Buffer.from(bytes).toString('base64') }] as const
  })
  source.close()
  return Object.fromEntries(tensors.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** A fixture with its tensors in float16. */
function halfPrecision(name: string): string {
  const folder = join(temporaryFolder(), 'half')
  cpSync(fixturePath(name), folder, { recursive: true, filter: (file) => !file.includes('safetensors') })
  const source = openSafetensors(fixturePath(name))
  const tensors = source.names().map((tensor) => {
    const values = source.readFloat32(tensor)
    const bytes = new Uint8Array(values.length * 2)
    encodeRow('float16', values, bytes, 0)
    return tensorOf({ name: tensor, dtype: 'float16', shape: source.get(tensor)!.shape, bytes })
  })
  source.close()
  writeSafetensorsFile(join(folder, 'model.safetensors'), tensors)
  return folder
}
