import { memory, setBackend } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { CheckpointError, InvalidConfigError } from '../errors.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { loadFixture, openFixture, readFixtureConfig } from './load-fixture.case.ts'
import type { CausalLM, LayerRange } from './model.ts'
import { StepRunner } from './step-runner.case.ts'

const ids = [5, 250, 33, 17, 99, 480, 2, 61, 301, 77, 8]
const chunks = [6, 1, 4]

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})
let numTensors = 0
afterEach(() => {
  expect(pack.usedBytes).toBe(0)
})

/** Logits of all positions, computed in chunks. */
function run(stages: readonly CausalLM[]): Float32Array[] {
  const runner = new StepRunner(stages, pack, { blockSize: 4 })
  const sequence = runner.add(ids)
  const logits = chunks.flatMap((numTokens) => runner.step([{ sequence, numTokens }], 'all'))
  runner.dispose()
  return logits
}

async function loadStages(folder: string, ranges: readonly LayerRange[]): Promise<CausalLM[]> {
  const stages: CausalLM[] = []
  for (const layers of ranges) stages.push(await loadFixture(folder, { pack, layers }))
  return stages
}

function dispose(stages: readonly CausalLM[]): void {
  for (const model of stages) model.dispose()
}

describe('stages', () => {
  it.each(['llama-tied-llama3rope', 'gemma2', 'gemma3-text', 'gpt2', 'olmo2', 'phi3', 'qwen3-moe', 'gpt-oss'])(
    '%s in two, and layer by layer, gives the bits of the whole',
    async (folder) => {
      const { numLayers } = readFixtureConfig(folder)
      ;({ numTensors } = memory())
      const whole = await loadStages(folder, [{ start: 0, end: numLayers }])
      const expected = run(whole)
      dispose(whole)
      const single = Array.from({ length: numLayers }, (_, start) => ({ start, end: start + 1 }))
      for (const ranges of [
        [
          { start: 0, end: 1 },
          { start: 1, end: numLayers },
        ],
        single,
        [
          { start: 0, end: numLayers - 1 },
          { start: numLayers - 1, end: numLayers },
        ],
      ]) {
        const stages = await loadStages(folder, ranges)
        stages.forEach((model, i) => expect(model.kvShape.numLayers).toBe(ranges[i]!.end - ranges[i]!.start))
        expect(run(stages)).toEqual(expected)
        dispose(stages)
      }
      expect(memory().numTensors).toBe(numTensors)
    },
  )

  it('may be the embedding alone, or norm and head alone', async () => {
    const { numLayers, vocabSize, hiddenSize } = readFixtureConfig('llama')
    const whole = await loadStages('llama', [{ start: 0, end: numLayers }])
    const expected = run(whole)
    const stages = await loadStages('llama', [
      { start: 0, end: 0 },
      { start: 0, end: numLayers },
    ])
    const [embedding, all] = stages
    const tableBytes = vocabSize * hiddenSize * 4
    expect(embedding!.weightBytes).toBe(tableBytes)
    // A stage that has the embedding takes hidden states as well.
    expect(run([embedding!, all!])).toEqual(expected)
    const [head] = await loadStages('llama', [{ start: numLayers, end: numLayers }])
    expect(head!.weightBytes).toBe(tableBytes + 4 * hiddenSize)
    dispose([...whole, ...stages, head!])
  })

  it('load only what is theirs, and read nothing of the others', async () => {
    const { numLayers } = readFixtureConfig('llama')
    const plain = openFixture('llama')
    const touched = new Set<string>()
    const source: WeightSource = {
      file: plain.file,
      names: () => plain.names(),
      get: (name) => plain.get(name),
      read: (name, bytes, rows) => {
        touched.add(name)
        plain.read(name, bytes, rows)
      },
      locate: (name, rows) => plain.locate(name, rows),
      readFloat32: (name, rows) => plain.readFloat32(name, rows),
      raw: (name) => plain.raw(name),
      close: () => plain.close(),
    }
    const seen: [number, number][] = []
    const model = await loadFixture('llama', {
      pack,
      source,
      layers: { start: 1, end: numLayers - 1 },
      onProgress: (loaded, total) => seen.push([loaded, total]),
    })
    expect([...touched].every((name) => name.startsWith('model.layers.1.'))).toBe(true)
    expect(touched.size).toBeGreaterThan(5)
    expect(seen.at(-2)![0]).toBe(seen.at(-1)![1])
    model.dispose()
    plain.close()
  })

  it.each([
    [-1, 1],
    [0, 99],
    [2, 1],
    [1, 1],
    [0.5, 2],
  ])('refuses layers %d to %d', async (start, end) => {
    await expect(loadFixture('llama', { pack, layers: { start, end } })).rejects.toThrow(InvalidConfigError)
    await expect(loadFixture('llama', { pack, layers: { start, end } })).rejects.toThrow(`${start} to ${end}`)
  })
})

describe('weights that no layer reads', () => {
  it.each(['model.layers.0.mlp.up_proj.bias', 'model.layers.9.mlp.up_proj.weight', 'extra.weight'])(
    'are an error: %s',
    async (name) => {
      const plain = openFixture('llama')
      const [like] = plain.names()
      const source: WeightSource = {
        ...withName(plain, name),
        get: (asked) => plain.get(asked === name ? like! : asked),
      }
      await expect(loadFixture('llama', { pack, source })).rejects.toThrow(CheckpointError)
      await expect(loadFixture('llama', { pack, source })).rejects.toThrow(`no layer reads "${name}"`)
      plain.close()
    },
  )

  it('are no matter where nothing could compute with them', async () => {
    const plain = openFixture('llama')
    const name = 'model.some_buffer'
    const source: WeightSource = {
      ...withName(plain, name),
      get(asked) {
        if (asked === name) throw new CheckpointError(plain.file, 'its dtype is BOOL', { tensor: name })
        return plain.get(asked)
      },
    }
    const model = await loadFixture('llama', { pack, source })
    model.dispose()
    plain.close()
  })
})

function withName(plain: WeightSource, name: string): WeightSource {
  return {
    file: plain.file,
    names: () => [...plain.names(), name],
    get: (asked) => plain.get(asked),
    read: (asked, bytes, rows) => plain.read(asked, bytes, rows),
    locate: (asked, rows) => plain.locate(asked, rows),
    readFloat32: (asked, rows) => plain.readFloat32(asked, rows),
    raw: (asked) => plain.raw(asked),
    close: () => plain.close(),
  }
}
