import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { LLM } from '../engine/llm.ts'
import { ggufBytes, type GgufValue, type WrittenGgufTensor } from '../loading/gguf-file.case.ts'
import { openGgufFile } from '../loading/gguf.ts'
import { rawBlocks, type RawBlock } from '../loading/raw-tensor.ts'
import { WeightView } from '../loading/weight-view.ts'
import { createGroupedReader } from '../tensor/grouped-format.ts'
import { blockCodecs } from './gguf-codecs.ts'
import { createGgufScheme } from './gguf-scheme.ts'
import { readGrouped } from './load-grouped.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-gguf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const fixtures = fileURLToPath(new URL('../../../../fixtures/gguf/', import.meta.url))
const golden = JSON.parse(readFileSync(`${fixtures}blocks.json`, 'utf8')) as {
  readonly numBlocks: number
  readonly types: Readonly<
    Record<string, { readonly blocks: string; readonly sha256_f32: string; readonly first16: readonly number[] }>
  >
}

const ggmlNumbers: Readonly<Record<RawBlock, number>> = {
  q8_1: 9,
  q2_k: 10,
  q3_k: 11,
  q8_k: 15,
  iq2_xxs: 16,
  iq2_xs: 17,
  iq3_xxs: 18,
  iq1_s: 19,
  iq4_nl: 20,
  iq3_s: 21,
  iq2_s: 22,
  iq4_xs: 23,
  iq1_m: 29,
  tq1_0: 34,
  tq2_0: 35,
  mxfp4: 39,
  nvfp4: 40,
  q1_0: 41,
}
const allBlocks = Object.keys(ggmlNumbers) as RawBlock[]

/** All rows as a model is given them. */
function valuesOf(file: string, dtype: RawBlock, module: string): Float32Array {
  const { stored } = openGgufFile(file)
  const view = new WeightView(stored)
  try {
    if (dtype === 'q2_k') return view.readFloat32(`${module}.weight`)
    const tensors = createGgufScheme().find(view, module, 'linear')!
    const weight = readGrouped(tensors)
    const readRow = createGroupedReader(weight, weight.planes)
    const values = new Float32Array(weight.rows * weight.cols)
    for (let row = 0; row < weight.rows; row++) readRow(row, values.subarray(row * weight.cols))
    return values
  } finally {
    stored.close()
  }
}

/** Bytes of any kind, but for the scales. */
function randomBlocks(dtype: RawBlock, count: number, seed: number): Uint8Array {
  const size = rawBlocks[dtype][1]
  const bytes = new Uint8Array(count * size)
  let state = seed
  for (let i = 0; i < bytes.length; i++) bytes[i] = (state = (state * 48_271) % 2_147_483_647) >>> 8
  const half = [0x10 + (seed & 3), 0x1c]
  const at = { q3_k: 108, tq1_0: 52, tq2_0: 64, q2_k: 80 }[dtype as string] ?? 0
  for (let block = 0; block < bytes.length; block += size) {
    if (dtype === 'mxfp4') bytes[block] = 118 + (bytes[block]! & 3)
    else if (dtype === 'nvfp4') for (let j = 0; j < 4; j++) bytes[block + j]! &= 0x1f
    else if (dtype === 'q8_k') bytes.set(new Uint8Array(Float32Array.of(0.0007).buffer), block)
    else if (dtype === 'iq1_m')
      for (let j = 0; j < 4; j++)
        bytes[block + 49 + 2 * j] = (bytes[block + 49 + 2 * j]! & 15) | ([0, 1, 12, 1][j]! << 4)
    else bytes.set(half, block + at)
    if (dtype === 'q2_k') bytes.set(half, block + 82)
  }
  return bytes
}

describe('GGUF blocks that are converted as they are read', () => {
  it.each(Object.entries(golden.types))("have the values of gguf-py's dequantizer: %s", (type, expected) => {
    const dtype = type.toLowerCase() as RawBlock
    const cols = golden.numBlocks * rawBlocks[dtype][0]
    const file = path.join(folder, `${dtype}.gguf`)
    const bytes = Buffer.from(expected.blocks, 'base64')
    const tensors = [{ name: 'x.weight', type: ggmlNumbers[dtype], shape: [2, cols / 2], bytes }]
    writeFileSync(file, ggufBytes({ metadata: {}, tensors }))
    const values = valuesOf(file, dtype, 'x')
    // -0 and 0 are the same value.
    for (let i = 0; i < values.length; i++) values[i]! += 0
    expect([...values.subarray(0, 16)]).toEqual(expected.first16.map((value) => value + 0))
    expect(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')).toBe(expected.sha256_f32)
  })

  it('are all known by a codec, or as Q2_K', () => {
    expect([...Object.keys(blockCodecs), 'q2_k'].sort()).toEqual([...allBlocks].sort())
  })

  const base = path.join(fixtures, 'llama256-q4_k.gguf')

  /** The model with all its matrices in random blocks, or with the values of these. */
  function writeModel(dtype: RawBlock, asFloats: boolean): string {
    const { metadata, tensors, stored } = openGgufFile(base)
    const written = tensors.map(({ name, shape }, i): WrittenGgufTensor => {
      const values = stored.readFloat32(name)
      if (shape.length < 2) return { name, type: 0, shape, bytes: new Uint8Array(values.buffer) }
      const [elements] = rawBlocks[dtype]
      return { name, type: ggmlNumbers[dtype], shape, bytes: randomBlocks(dtype, values.length / elements, i + 1) }
    })
    stored.close()
    const plain = Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, plainValue(value)]))
    const file = path.join(folder, `model-${dtype}.gguf`)
    writeFileSync(file, ggufBytes({ metadata: plain, tensors: written }))
    if (!asFloats) return file
    const floats = written.map((tensor): WrittenGgufTensor => {
      if (tensor.type === 0) return tensor
      const values = valuesOf(file, dtype, tensor.name.replace(/\.weight$/, ''))
      return { ...tensor, type: 0, bytes: new Uint8Array(values.buffer) }
    })
    const floatFile = path.join(folder, `floats-${dtype}.gguf`)
    writeFileSync(floatFile, ggufBytes({ metadata: plain, tensors: floats }))
    return floatFile
  }

  function plainValue(value: unknown): GgufValue {
    return ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : (value as GgufValue)
  }

  it.each(['q2_k', 'q3_k', 'iq4_nl', 'iq2_xs', 'iq1_m', 'mxfp4'] as const)(
    'compute as their values do: %s, in every matrix of a model',
    async (dtype) => {
      const generate = async (model: string): Promise<unknown> => {
        await using llm = await LLM.load(model, { backend: 'cpu', maxNumSeqs: 1 })
        const params = { maxTokens: 3, temperature: 0, ignoreEos: true, logprobs: 5 }
        const [output] = await llm.generate([[5, 17, 100, 41, 7]], params)
        const { tokenIds, logprobs } = output!.outputs[0]!
        return { tokenIds, logprobs }
      }
      const packed = await generate(writeModel(dtype, false))
      expect(packed).toEqual(await generate(writeModel(dtype, true)))
    },
  )
})
