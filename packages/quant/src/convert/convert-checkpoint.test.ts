import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { LLM } from '@octavo/core'
import { embeddedModelPath, openGguf } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { afterAll, describe, expect, it } from 'vitest'
import { writeGguf } from '../gguf/write-gguf.ts'
import { convertCheckpoint } from './convert-checkpoint.ts'
import { ExpandedSource } from './expanded-source.ts'
import { listModules, openSource } from './open-source.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))
const quantized = readdirSync(`${fixtures}quantized`, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
const folder = mkdtempSync(path.join(tmpdir(), 'octavo-convert-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Of every tensor the values that a model computes with, and which modules are quantized. */
async function describeValues(model: string): Promise<{ values: Map<string, Float32Array>; numQuantized: number }> {
  const opened = await openSource(model)
  const source = new ExpandedSource(opened, 'float32')
  const numQuantized = [...listModules(opened).values()].filter((tensors) => tensors !== null).length
  const values = new Map(source.names().map((name) => [name, source.readFloat32(name)]))
  source.close()
  return { values, numQuantized }
}

const inputs = /rounds the inputs of its modules too \(input_activations\)/
const gptqRefusals: Readonly<Record<string, RegExp>> = {
  'ct-int4-fused': /its scale 0\.\d+ \(float32\) is no float16/,
  'ct-int8-tied': /it has no quantized embedding/,
  'ct-mixed-bits': /GPTQ holds codes of 2, 3, 4, 8 bits/,
  'ct-mixed-bits-padded': /GPTQ holds codes of 2, 3, 4, 8 bits/,
  'ct-w8a8': inputs,
  'ct-w8a8-static': inputs,
}

/** What a layout can't say; all other fixtures are converted. */
const refusals: Readonly<Record<string, Readonly<Record<string, RegExp>>>> = {
  'compressed-tensors': { 'ct-w8a8': inputs, 'ct-w8a8-static': inputs },
  gptq: gptqRefusals,
  gptq_v2: gptqRefusals,
  awq: {
    awq: /k_proj: .* 48 output features are no multiple of 32/,
    'ct-int4-act-order': /AWQ has its columns in groups as they stand/,
    'ct-int4-fused': /its scale 0\.\d+ \(float32\) is no float16/,
    'ct-int8-blocks': /AWQ holds integers of 4 bits/,
    'ct-int8-experts': /AWQ holds integers of 4 bits/,
    'ct-int8-tied': /it has no quantized embedding or head/,
    'ct-mixed-bits': /AWQ holds integers of 4 bits/,
    'ct-mixed-bits-padded': /AWQ holds integers of 4 bits/,
    'ct-w8a8': inputs,
    'ct-w8a8-static': inputs,
    'gptq-2bit-ragged': /AWQ holds integers of 4 bits/,
    'gptq-act-order': /AWQ has its columns in groups as they stand/,
    'gptq-dynamic': /it has no quantized embedding or head/,
    'gptq-gpt2': /AWQ holds integers of 4 bits/,
  },
}

describe('convertCheckpoint', () => {
  const cases = ['compressed-tensors', 'gptq', 'gptq_v2', 'awq'].flatMap((to) => quantized.map((from) => [from, to]))
  it.each(cases)('%s to %s: the same values, or a reason', async (from, to) => {
    const source = `${fixtures}quantized/${from}`
    const target = path.join(folder, `${from}-${to}`)
    const refusal = refusals[to!]?.[from!]
    if (refusal !== undefined) {
      const error: unknown = await convertCheckpoint(source, target, { to: to! }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(QuantizationError)
      expect(String(error)).toMatch(refusal)
      expect(existsSync(target)).toBe(false)
      return
    }
    const { numQuantized } = await convertCheckpoint(source, target, { to: to! })
    const [before, after] = [await describeValues(source), await describeValues(target)]
    expect(numQuantized).toBeGreaterThan(0)
    expect(after.numQuantized).toBe(before.numQuantized)
    for (const [name, values] of before.values) expect(after.values.get(name), name).toEqual(values)
  })

  it('takes GGUF blocks to compressed-tensors and back', async () => {
    for (const type of ['Q4_0', 'Q8_0'] as const) {
      const names = [`${type}.gguf`, `${type}-packed`, `${type}-last.gguf`]
      const [first, packed, last] = names.map((name) => path.join(folder, name))
      await writeGguf(`${fixtures}models/llama`, first!, { type })
      await convertCheckpoint(first!, packed!, { to: 'compressed-tensors' })
      await writeGguf(packed!, last!, { type: 'exact' })
      const [before, after] = [openGguf(first!), openGguf(last!)]
      for (const name of before.stored.names()) {
        expect(after.stored.get(name), name).toMatchObject({ format: before.stored.get(name)!.format })
        expect(after.stored.readFloat32(name), name).toEqual(before.stored.readFloat32(name))
      }
      before.stored.close()
      after.stored.close()
      rmSync(packed!, { recursive: true })
    }
  })

  it('gives K-quants as floats that compute the same, and to no other layout', async () => {
    const file = path.join(folder, 'tiny.gguf')
    const floats = path.join(folder, 'floats')
    await writeGguf(embeddedModelPath('octavo-tiny')!, file, { type: 'Q4_K_M' })
    await expect(convertCheckpoint(file, path.join(folder, 'k'), { to: 'gptq' })).rejects.toThrow(
      /layers.*: its q[46]_k blocks have a minimum or scales of their own kind/,
    )
    await convertCheckpoint(file, floats, { to: 'safetensors' })
    const generate = async (model: string): Promise<unknown> => {
      await using llm = await LLM.load(model, { backend: 'cpu', maxNumSeqs: 1 })
      const [output] = await llm.generate('The cat is', { maxTokens: 8, temperature: 0, logprobs: 3 })
      const { tokenIds, logprobs } = output!.outputs[0]!
      return { promptTokenIds: output!.promptTokenIds, tokenIds, logprobs }
    }
    expect(await generate(floats)).toEqual(await generate(file))
  })

  it("widens the embedding of llama.cpp's Q4_0 files, and keeps the rest packed", async () => {
    const file = path.join(folder, 'tiny-q4.gguf')
    const target = path.join(folder, 'tiny-gptq')
    await writeGguf(embeddedModelPath('octavo-tiny')!, file, { type: 'Q4_0' })
    expect(await convertCheckpoint(file, target, { to: 'gptq' })).toMatchObject({ numQuantized: 35 })
    const [before, after] = [await describeValues(file), await describeValues(target)]
    for (const [name, values] of before.values) expect(after.values.get(name), name).toEqual(values)
  })

  it('refuses what is no quantized model, and a folder that is there', async () => {
    const source = `${fixtures}models/llama`
    await expect(convertCheckpoint(source, path.join(folder, 'none'), { to: 'gptq' })).rejects.toThrow(
      'has no quantized weights',
    )
    await expect(convertCheckpoint(source, folder, { to: 'gptq' })).rejects.toThrow('exists already')
  })

  it.each([NaN, Infinity])('refuses a scale of %s, which would only look converted', async (value) => {
    const source = path.join(folder, `scale-${value}`)
    cpSync(`${fixtures}quantized/ct-int4`, source, { recursive: true })
    const file = path.join(source, 'model.safetensors')
    const bytes = readFileSync(file)
    const start = 8 + Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.toString('utf8', 8, start)) as Record<
      string,
      { dtype: string; data_offsets: number[] }
    >
    const [name, { dtype, data_offsets: offsets }] = Object.entries(header).find(([key]) =>
      key.endsWith('weight_scale'),
    )!
    const place = start + offsets[0]!
    if (dtype === 'F32') bytes.writeFloatLE(value, place)
    else bytes.writeUInt16LE((dtype === 'F16' ? 0x7c00 : 0x7f80) + (Number.isNaN(value) ? 1 : 0), place)
    writeFileSync(file, bytes)
    const module = name.slice(0, -'.weight_scale'.length)
    for (const to of ['safetensors', 'gptq', 'compressed-tensors']) {
      const target = path.join(folder, `from-scale-${value}-${to}`)
      await expect(convertCheckpoint(source, target, { to })).rejects.toThrow(
        `tensor "${module}": the scale of row 0, group 0 is ${value}`,
      )
      expect(existsSync(target)).toBe(false)
    }
    // As GGUF files are written.
    await expect(describeValues(source)).rejects.toThrow(`is ${value};`)
  })

  it('names the zero point that no GGUF type has', async () => {
    const target = path.join(folder, 'asymmetric.gguf')
    await expect(writeGguf(`${fixtures}quantized/gptq-v2`, target, { type: 'exact' })).rejects.toThrow(
      /no GGUF type has its values exactly: it has the zero point \d+/,
    )
    expect(existsSync(target)).toBe(false)
  })
})
