import { setBackend } from '@tensorflow/tfjs-core'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { LLM } from '../engine/llm.ts'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import { type GoldenFiles, loadModel, readJson } from '../models/golden-models.case.ts'
import type { CausalLM, LayerRange } from '../models/model.ts'
import { StepRunner } from '../models/step-runner.case.ts'
import { planesOf } from '../tensor/grouped-format.ts'
import { isGrouped, weightBytes, type PackedWeightSpec, type StoredRows } from '../tensor/packed-weight.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/quantized/', import.meta.url))
const { files } = readJson<GoldenFiles>(`${fixtures}golden.json`)

let pack: BackendPack
let folder: string
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
  folder = mkdtempSync(join(tmpdir(), 'octavo-quantized-'))
})
afterEach(() => expect(pack.usedBytes).toBe(0))
afterAll(() => rmSync(folder, { recursive: true }))

function goldenOf(name: string): GoldenFiles['files'][number]['outputs'] {
  return files.find(({ file }) => file === name)!.outputs
}

interface Packed extends PackedWeightSpec {
  readonly bytes: Uint8Array
  readonly stored: readonly StoredRows[] | null
}

/** Sees what is packed. */
function watching(seen: Packed[]): BackendPack {
  return {
    ...pack,
    packWeight(spec, fill, stored = null) {
      const bytes = new Uint8Array(weightBytes(spec))
      fill(bytes)
      seen.push({ ...spec, bytes, stored })
      return pack.packWeight(spec, fill, stored)
    },
  }
}

describe('a quantized checkpoint', () => {
  it.each(['ct-int4', 'awq', 'gptq-act-order', 'ct-w8a8-static'])(
    'is dequantized where a dtype is asked for: %s',
    async (name) => {
      for (const dtype of ['float32', 'bfloat16'] as const) {
        const seen: Packed[] = []
        const model = await loadModel(`${fixtures}${name}`, { pack: watching(seen), dtype })
        expect(new Set(seen.map(({ format }) => format))).toEqual(new Set([dtype]))
        const runner = new StepRunner(model, pack)
        const [output] = goldenOf(name)
        const [logits] = runner.step([{ sequence: runner.add(output!.ids), numTokens: output!.ids.length }], 'last')
        const scale = Math.max(...output!.last_logits.map(Math.abs))
        const error = Math.max(...output!.last_logits.map((value, i) => Math.abs(value - logits![i]!))) / scale
        expect(error).toBeLessThan(dtype === 'float32' ? 2e-3 : 8e-2)
        runner.dispose()
        model.dispose()
      }
    },
  )

  it('says where its planes lie, of rows and columns of a rank too', async () => {
    for (const rank of [0, 1]) {
      const seen: Packed[] = []
      const communicator = {
        rank,
        size: 2,
        allReduce: (x: never) => x,
        allGather: (x: never) => x,
        allToAll: (x: never) => x,
      }
      const path = `${fixtures}ct-int4`
      const check = (source: ReturnType<typeof openSafetensors>): void => expectStored(source, seen)
      const source = openSafetensors(path)
      const model = await loadModel(path, { pack: watching(seen), communicator: communicator as never, source })
      check(source)
      source.close()
      model.dispose()
    }
  })

  it('merges modules of one layout, and keeps others apart', async () => {
    const shapes = async (name: string): Promise<string[]> => {
      const seen: Packed[] = []
      const model = await loadModel(`${fixtures}${name}`, { pack: watching(seen) })
      model.dispose()
      return seen.flatMap(({ format, rows, cols }) => (isGrouped(format) ? [`${format.bits}: ${rows} x ${cols}`] : []))
    }
    // q, k and v as one; gate and up as one.
    expect(new Set(await shapes('gptq-v2'))).toEqual(
      new Set(['4: 128 x 64', '4: 64 x 64', '4: 256 x 64', '4: 64 x 128']),
    )
    // Each has an order of its own.
    expect(new Set(await shapes('gptq-act-order'))).toEqual(
      new Set(['4: 96 x 96', '4: 48 x 96', '4: 160 x 96', '4: 96 x 160']),
    )
  })

  it.each(['ct-int8-tied', 'gptq-dynamic', 'awq-experts'])('gives the same bits in stages: %s', async (name) => {
    const logitsOf = async (ranges: readonly LayerRange[]): Promise<Float32Array> => {
      const stages: CausalLM[] = []
      for (const layers of ranges) stages.push(await loadModel(`${fixtures}${name}`, { pack, layers }))
      const runner = new StepRunner(stages, pack)
      const { ids } = goldenOf(name)[1]!
      const [logits] = runner.step([{ sequence: runner.add(ids), numTokens: ids.length }], 'last')
      runner.dispose()
      for (const stage of stages) stage.dispose()
      return logits!
    }
    const whole = await logitsOf([{ start: 0, end: 2 }])
    const parts = [
      { start: 0, end: 1 },
      { start: 1, end: 2 },
    ]
    expect(await logitsOf(parts)).toEqual(whole)
  })

  it('has no bias that nothing adds', async () => {
    const path = join(folder, 'bias')
    cpSync(`${fixtures}gptq-v1-bias`, path, { recursive: true })
    const file = join(path, 'model.safetensors')
    const bytes = readFileSync(file)
    const headerBytes = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))
    const name = 'model.layers.1.mlp.up_proj.bias'
    bytes[8 + headerBytes + header[name].data_offsets[0] + 7] = 0x3c
    writeFileSync(file, bytes)
    const load = (): Promise<unknown> => loadModel(path, { pack })
    await expect(load).rejects.toThrow(CheckpointError)
    await expect(load).rejects.toThrow(`no layer reads "${name}"`)
  })

  it('leaves nothing behind where a tensor is wrong', async () => {
    const path = join(folder, 'wrong')
    cpSync(`${fixtures}gptq-act-order`, path, { recursive: true })
    const file = join(path, 'model.safetensors')
    const bytes = readFileSync(file)
    const headerBytes = Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))
    const name = 'model.layers.1.mlp.down_proj.g_idx'
    bytes.writeInt32LE(1_000_000, 8 + headerBytes + header[name].data_offsets[0] + 4)
    writeFileSync(file, bytes)
    await expect(loadModel(path, { pack })).rejects.toThrow(`"${name}": column 1 is in group 1000000, and there are 5`)
  })

  it('says in openCheckpoint how it is quantized', async () => {
    const sectionOf = async (name: string) => (await openCheckpoint(`${fixtures}${name}`)).quantization
    expect(await sectionOf('awq')).toMatchObject({ method: null, json: { quant_method: 'awq' } })
    expect(await sectionOf('awq-experts')).toMatchObject({ method: 'awq', json: { w_bit: 4 } })
    expect((await sectionOf('gptq-dynamic'))?.file).toMatch(/quantize_config\.json$/)
    expect(await sectionOf('../models/llama')).toBe(null)
  })
})

/** Whether the rows that are said to be in files are the bytes that were filled. */
function expectStored(source: ReturnType<typeof openSafetensors>, seen: readonly Packed[]): void {
  expect(source.file).toMatch(/ct-int4$/)
  const grouped = seen.filter(({ format }) => isGrouped(format))
  expect(grouped.length).toBeGreaterThan(4)
  for (const { format, rows, cols, bytes, stored } of grouped) {
    if (!isGrouped(format)) continue
    expect(stored).not.toBe(null)
    const planes = planesOf({ format, rows, cols })
    const file = readFileSync(`${fixtures}ct-int4/model.safetensors`)
    const read = (plane: 'codes' | 'scales'): Buffer =>
      Buffer.concat(
        stored!
          .filter((run) => run.plane === plane)
          .flatMap(({ position, stride, count }) =>
            Array.from({ length: count }, (_, row) =>
              file.subarray(position + row * stride, position + row * stride + planes[plane].stride),
            ),
          ),
      )
    expect(Buffer.concat([read('codes'), read('scales')]).equals(bytes)).toBe(true)
  }
}

describe('LLM', () => {
  const tiny = fileURLToPath(new URL('../../models/octavo-tiny/', import.meta.url))

  it('loads a quantized checkpoint as any other', async () => {
    const path = join(folder, 'llm')
    cpSync(`${fixtures}ct-w8a8`, path, { recursive: true })
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(tiny, file), join(path, file))
    const llm = await LLM.load(path, { backend: 'cpu', maxModelLen: 64 })
    try {
      const { ids, greedy_ids: greedy } = goldenOf('ct-w8a8')[1]!
      const [output] = await llm.generate([[...ids]], {
        temperature: 0,
        maxTokens: greedy.length,
        ignoreEos: true,
        detokenize: false,
      })
      expect(output!.outputs[0]!.tokenIds).toEqual(greedy)
    } finally {
      await llm.shutdown()
    }
  })

  it('says what it cannot read', async () => {
    const path = join(folder, 'quark')
    cpSync(`${fixtures}ct-w8a8`, path, { recursive: true })
    const config = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))
    writeFileSync(
      join(path, 'config.json'),
      JSON.stringify({ ...config, quantization_config: { quant_method: 'quark' } }),
    )
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) cpSync(join(tiny, file), join(path, file))
    const load = LLM.load(path, { backend: 'cpu', maxModelLen: 64 })
    await expect(load).rejects.toThrow(UnsupportedModelError)
    await expect(load).rejects.toThrow(/quantized with "quark", which can't be read/)
  })
})
