import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { memory, setBackend, tidy } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { supportedArchitectures } from '../config/architectures.ts'
import { parseModelConfig } from '../config/model-config.ts'
import type { ModelConfig } from '../config/model-config.ts'
import { CheckpointError, InvalidConfigError, UnsupportedModelError } from '../errors.ts'
import { singleRank } from '../layers/communicator.ts'
import { ReplayGroup } from '../layers/replay-group.case.ts'
import { ggufConfig } from '../loading/gguf-config.ts'
import { openGguf } from '../loading/gguf.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { WeightView } from '../loading/weight-view.ts'
import type { CausalLM, LoadModelContext } from './model.ts'
import { getModelDefinition } from './registry.ts'
import { StepRunner } from './step-runner.case.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))
const ids = [5, 250, 33, 17, 99, 480, 2, 61, 301, 77, 8]

let pack: BackendPack
let sources: WeightSource[] = []
let usedBytes = 0
beforeEach(() => {
  usedBytes = pack.usedBytes
})
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})
afterEach(() => {
  for (const source of sources) source.close()
  sources = []
  expect(pack.usedBytes).toBe(usedBytes)
})

function readConfig(folder: string): ModelConfig {
  return parseModelConfig(JSON.parse(readFileSync(`${models}${folder}/config.json`, 'utf8')), folder)
}

function openSource(folder: string): WeightSource {
  const source = openSafetensors(`${models}${folder}`)
  sources.push(source)
  return source
}

async function load(folder: string, changes: Partial<LoadModelContext> = {}): Promise<CausalLM> {
  const config = changes.config ?? readConfig(folder)
  const definition = await getModelDefinition(config)
  return definition.load({
    config,
    source: openSource(folder),
    pack,
    dtype: 'auto',
    communicator: singleRank,
    ...changes,
  })
}

/** Logits of all positions of `ids`. */
function logitsOf(model: CausalLM): Float32Array {
  const runner = new StepRunner(model, pack)
  try {
    const rows = runner.step([{ sequence: runner.add(ids), numTokens: ids.length }], 'all')
    return Float32Array.from(rows.flatMap((row) => [...row]))
  } finally {
    runner.dispose()
  }
}

function maxDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((max, value, i) => Math.max(max, Math.abs(value - b[i]!)), 0)
}

/** The same tensors under other names, or without those whose name is `null`. */
function renamed(source: WeightSource, rename: (stored: string) => string | null): WeightSource {
  return new WeightView(source, { rename, isInOut: () => false })
}

describe('a gated MLP', () => {
  it('may have relu', async () => {
    const config = { ...readConfig('llama'), activation: 'relu' as const }
    const [relu, silu] = [await load('llama', { config }), await load('llama')]
    const logits = logitsOf(relu)
    expect(logits.every(Number.isFinite)).toBe(true)
    expect(maxDifference(logits, logitsOf(silu))).toBeGreaterThan(1e-3)
    for (const model of [relu, silu]) model.dispose()
  })

  it('has no relu in experts, and says so', async () => {
    const config = { ...readConfig('mixtral'), activation: 'relu' as const }
    await expect(load('mixtral', { config })).rejects.toThrow('experts with relu are not supported')
  })
})

describe('ranks that cannot share a model', () => {
  /** What was read of the checkpoint by then. */
  async function refusal(
    changes: Partial<LoadModelContext> & { readonly source: WeightSource },
    folder = 'llama',
  ): Promise<{ error: unknown; numReads: number }> {
    let numReads = 0
    const { source } = changes
    const counted: WeightSource = {
      file: source.file,
      names: () => source.names(),
      get: (name) => source.get(name),
      read: () => numReads++,
      locate: () => (numReads++, null),
      readFloat32: (name) => (numReads++, source.readFloat32(name)),
      raw: (name) => source.raw(name),
      close: () => source.close(),
    }
    const error: unknown = await load(folder, { ...changes, source: counted }).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(InvalidConfigError)
    return { error, numReads }
  }

  it('are told which numbers can, before a weight is read', async () => {
    const { numTensors } = memory()
    const [communicator] = new ReplayGroup(3).communicators
    const heads = await refusal({ communicator: communicator!, source: openSource('llama') })
    expect(String(heads.error)).toContain('3 ranks cannot share 4 query and 2 key/value heads evenly; use 1, 2 or 4')
    const experts = await refusal({ expertCommunicator: communicator!, source: openSource('llama') })
    expect(String(experts.error)).toContain('the model has no experts')
    const path = `${models}../gguf/llama-q4_0.gguf`
    const gguf = openGguf(path)
    sources.push(gguf.weights)
    const blocks = await refusal({
      config: parseModelConfig(ggufConfig(gguf), path),
      communicator: new ReplayGroup(4).communicators[0]!,
      source: gguf.weights,
    })
    expect(String(blocks.error)).toContain(
      '4 ranks cannot share the 4 heads of 16 features of model.layers.0.self_attn.o_proj, stored in blocks of 32; use 1 or 2, or a checkpoint without blocks',
    )
    expect([heads, experts, blocks].map(({ numReads }) => numReads)).toEqual([0, 0, 0])
    expect(memory().numTensors).toBe(numTensors)
  })

  it('may share blocks as soon as these become floats', async () => {
    const path = `${models}../gguf/llama-q4_0.gguf`
    const gguf = openGguf(path)
    sources.push(gguf.weights)
    const config = parseModelConfig(ggufConfig(gguf), path)
    const [communicator] = new ReplayGroup(4).communicators
    const model = await load('llama', { config, communicator: communicator!, source: gguf.weights, dtype: 'float32' })
    model.dispose()
  })
})

describe('loading', () => {
  it('finds tensors with and without the prefix of the stack, and beside a vision tower', async () => {
    const plain = await load('llama')
    const expected = logitsOf(plain)
    plain.dispose()
    const source = openSource('llama')
    for (const rename of [
      (stored: string) => (stored.startsWith('model.') ? stored.slice('model.'.length) : stored),
      (stored: string) => `language_model.${stored}`,
    ]) {
      const model = await load('llama', { source: renamed(source, rename) })
      expect(logitsOf(model)).toEqual(expected)
      model.dispose()
    }
  })

  it('ties the head to the embedding where the file has none and the config is silent', async () => {
    const config = { ...readConfig('llama-tied-llama3rope'), hasTiedEmbeddings: null }
    const [silent, tied] = [await load('llama-tied-llama3rope', { config }), await load('llama-tied-llama3rope')]
    expect(logitsOf(silent)).toEqual(logitsOf(tied))
    silent.dispose()
    tied.dispose()
    const untied = { ...config, hasTiedEmbeddings: false }
    await expect(load('llama-tied-llama3rope', { config: untied })).rejects.toThrow(/"lm_head\.weight"/)
  })

  it('converts weights to the dtype asked for', async () => {
    const stored = await load('qwen3')
    const [wide, half] = [await load('qwen3', { dtype: 'float32' }), await load('qwen3', { dtype: 'float16' })]
    expect(wide.weightBytes).toBeGreaterThan(1.9 * stored.weightBytes)
    expect(half.weightBytes).toBe(stored.weightBytes)
    const expected = logitsOf(stored)
    // bfloat16 widens without loss; float16 has more fraction bits, and these weights are within its range.
    expect(logitsOf(wide)).toEqual(expected)
    expect(maxDifference(logitsOf(half), expected)).toBeLessThan(1e-4)
    for (const model of [stored, wide, half]) model.dispose()
  })

  it('reports progress up to the whole checkpoint', async () => {
    const seen: [number, number][] = []
    const model = await load('qwen3-moe', { onProgress: (loaded, total) => seen.push([loaded, total]) })
    const total = seen[0]![1]
    expect(total).toBeGreaterThan(0)
    seen.forEach(([loaded, all], i) => {
      expect(all).toBe(total)
      expect(loaded).toBeGreaterThanOrEqual(seen[i - 1]?.[0] ?? 0)
    })
    expect(seen.at(-2)![0]).toBeGreaterThanOrEqual(total - 1)
    expect(seen.at(-1)![0]).toBe(total)
    model.dispose()
  })

  it('names what is missing or misshapen, and leaves nothing allocated', async () => {
    const { numTensors } = memory()
    const source = openSource('llama')
    const lacking = (missing: string): WeightSource => renamed(source, (name) => (name === missing ? null : name))
    for (const name of ['model.norm.weight', 'model.layers.2.mlp.down_proj.weight', 'lm_head.weight']) {
      await expect(load('llama', { source: lacking(name) })).rejects.toThrow(CheckpointError)
      await expect(load('llama', { source: lacking(name) })).rejects.toThrow(`"${name}"`)
    }
    await expect(load('llama', { source: lacking('model.embed_tokens.weight') })).rejects.toThrow(/no embedding/)
    await expect(load('llama', { config: { ...readConfig('llama'), intermediateSize: 120 } })).rejects.toThrow(
      /mlp\.gate_proj.*expected shape/,
    )
    expect(memory().numTensors).toBe(numTensors)
  })
})

describe('forward', () => {
  it('leaves no tensor behind', async () => {
    const model = await load('gemma3-text')
    logitsOf(model) // the rope tables are made now
    const { numTensors } = memory()
    const runner = new StepRunner(model, pack)
    tidy(() => {
      runner.step([{ sequence: runner.add(ids), numTokens: ids.length }], 'last')
      expect(memory().numTensors).toBe(numTensors)
    })
    runner.dispose()
    model.dispose()
  })
})

describe('getModelDefinition', () => {
  it('loads a definition for every architecture it lists', async () => {
    for (const architecture of supportedArchitectures) {
      expect(await getModelDefinition({ architecture, file: 'x' })).toHaveProperty('load')
    }
  })

  it.each(['T5Model', 'constructor', '__proto__', ''])('refuses %o and lists what it knows', async (architecture) => {
    await expect(getModelDefinition({ architecture, file: 'x' })).rejects.toThrow(UnsupportedModelError)
    await expect(getModelDefinition({ architecture, file: 'x' })).rejects.toThrow(
      /Known are LlamaForCausalLM, .*GptOssForCausalLM/,
    )
  })
})
