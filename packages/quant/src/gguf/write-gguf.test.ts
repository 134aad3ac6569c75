import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { LLM, type OutputTokenLogprobs } from '@octavo/core'
import { embeddedModelPath, openCheckpoint, openGguf } from '@octavo/core/loading'
import { listGoldenFolders } from '@octavo/core/testing'
import { afterAll, describe, expect, it } from 'vitest'
import { ggufFileTypeNames, type GgufFileType } from './gguf-file-type.ts'
import { writeGguf } from './write-gguf.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))
const models = `${fixtures}models/`
const folder = mkdtempSync(path.join(tmpdir(), 'octavo-gguf-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Generated {
  readonly tokenIds: readonly number[]
  readonly logprobs: readonly OutputTokenLogprobs[] | null
}

async function generate(model: string): Promise<Generated> {
  await using llm = await LLM.load(model, { backend: 'cpu', maxNumSeqs: 1 })
  const params = { maxTokens: 12, temperature: 0, ignoreEos: true, logprobs: 5 }
  const [output] = await llm.generate([[5, 17, 100, 41, 7, 200, 3, 9]], params)
  const { tokenIds, logprobs } = output!.outputs[0]!
  return { tokenIds, logprobs }
}

function rmse(values: Float32Array, exact: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value, i) => sum + (value - exact[i]!) ** 2, 0) / values.length)
}

describe('writeGguf', () => {
  const families = listGoldenFolders(fixtures)
  it.each(families)('gives %s the logprobs that its checkpoint has, bit for bit', async (family) => {
    const target = path.join(folder, `${family}.gguf`)
    await writeGguf(models + family, target, { type: 'F32' })
    expect(await generate(target)).toEqual(await generate(models + family))
  })

  it('says how an embedder pools, and gives the embeddings that its checkpoint has, bit for bit', async () => {
    const target = path.join(folder, 'embedding.gguf')
    await writeGguf(models + 'qwen3-embedding', target, { type: 'F32' })
    const checkpoint = await openCheckpoint(target)
    expect(checkpoint.sentenceTransformers.modules).toMatchObject({ type: 'last', isNormalized: true })
    const ids = [39, 278, 75, 78, 630]
    const embed = async (model: string): Promise<unknown> => {
      await using llm = await LLM.load(model, { backend: 'cpu', maxNumSeqs: 1 })
      return (await llm.embed([ids])).map(({ embedding }) => embedding)
    }
    expect(await embed(target)).toEqual(await embed(models + 'qwen3-embedding'))
  })

  it.each([
    ['qwen3-seqcls', /it is a classifier, which GGUF's "qwen3" can't say/],
    ['bert-embed', /BertModel is a model of its own making/],
  ])('refuses %s', async (family, message) => {
    const target = path.join(folder, `${family}.gguf`)
    await expect(writeGguf(models + family, target)).rejects.toThrow(message)
    expect(existsSync(target)).toBe(false)
  })

  it.each(['llama', 'qwen2', 'gpt2', 'mistral'])('keeps the tokenizer of %s', async (family) => {
    const target = path.join(folder, `${family}-tokens.gguf`)
    await writeGguf(models + family, target, { type: 'F32' })
    // None begins with a space: llama.cpp puts another before it, whatever the tokenizer does.
    const texts = ['Hello  world, it is 2026!', 'ünïcode 漢字 \n\n tabs\t<|im_start|>', "don't SHOUT 12345"]
    const encode = async (model: string): Promise<unknown> => {
      await using llm = await LLM.load(model, { backend: 'cpu', maxNumSeqs: 1 })
      const outputs = await llm.generate(texts, { maxTokens: 1 })
      return outputs.map(({ promptTokenIds }) => promptTokenIds)
    }
    expect(await encode(target)).toEqual(await encode(models + family))
  })

  /** Root mean squares of the error over that of the weights; a few percent above what was measured. */
  const largestErrors: Readonly<Record<GgufFileType, number>> = {
    F32: 0,
    F16: 1e-3,
    BF16: 0, // as the model is stored
    Q8_0: 0.0062,
    Q4_0: 0.096,
    Q4_1: 0.082,
    Q5_0: 0.048,
    Q5_1: 0.041,
    Q4_K_S: 0.084,
    Q4_K_M: 0.084,
    Q5_K_S: 0.042,
    Q5_K_M: 0.042,
    Q6_K: 0.021,
  }
  it.each(ggufFileTypeNames)('writes octavo-tiny as %s, whose values are near the originals', async (type) => {
    const source = embeddedModelPath('octavo-tiny')!
    const target = path.join(folder, `tiny-${type}.gguf`)
    const { notes } = await writeGguf(source, target, { type })
    expect(notes).toEqual([])
    const exact = (await openCheckpoint(source)).openWeights()
    const { weights } = openGguf(target)
    for (const part of ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.down_proj', 'mlp.up_proj']) {
      const name = `model.layers.1.${part}.weight`
      const values = exact.readFloat32(name)
      const size = rmse(values, new Float32Array(values.length))
      expect(rmse(weights.readFloat32(name), values) / size, name).toBeLessThanOrEqual(largestErrors[type])
    }
    exact.close()
    weights.close()
  })

  it('takes another GGUF file, and copies what has its format already', async () => {
    const first = path.join(folder, 'first.gguf')
    const second = path.join(folder, 'second.gguf')
    await writeGguf(models + 'llama', first, { type: 'Q8_0', name: 'twice' })
    await writeGguf(first, second, { type: 'Q8_0', name: 'twice' })
    expect(readFileSync(second).equals(readFileSync(first))).toBe(true)
  })

  it('spends errors where columns count less', async () => {
    const name = 'model.layers.0.mlp.up_proj.weight'
    const importance = Float32Array.from({ length: 256 }, (_, col) => (col % 4 === 0 ? 100 : 1))
    const source = embeddedModelPath('octavo-tiny')!
    const exactSource = (await openCheckpoint(source)).openWeights()
    const exact = exactSource.readFloat32(name)
    exactSource.close()
    const errorOfImportant = async (weights: Float32Array | null): Promise<number> => {
      const target = path.join(folder, `${weights === null ? 'no-' : ''}importance.gguf`)
      await writeGguf(source, target, {
        type: 'Q4_K_M',
        importance: (module) => (name.startsWith(`${module}.`) ? weights : null),
      })
      const model = openGguf(target)
      const values = model.weights.readFloat32(name)
      model.weights.close()
      return rmse(
        values.filter((_, i) => i % 4 === 0),
        exact.filter((_, i) => i % 4 === 0),
      )
    }
    expect(await errorOfImportant(importance)).toBeLessThan(0.85 * (await errorOfImportant(null)))
  })

  it('refuses values that are no numbers, and leaves nothing behind', async () => {
    const source = path.join(folder, 'nan')
    cpSync(models + 'llama', source, { recursive: true })
    const file = path.join(source, 'model.safetensors')
    const bytes = readFileSync(file)
    bytes.fill(0xff, bytes.length - 64)
    writeFileSync(file, bytes)
    const target = path.join(folder, 'nan.gguf')
    await expect(writeGguf(source, target, { type: 'Q8_0' })).rejects.toThrow(/tensor ".*": has the value NaN/)
    expect(readdirSync(folder).filter((name) => name.startsWith('nan.gguf'))).toEqual([])
  })

  it('writes over nothing: a target that is there may be the source', async () => {
    const target = path.join(folder, 'there.gguf')
    writeFileSync(target, 'mine')
    await expect(writeGguf(models + 'llama', target)).rejects.toThrow(/there\.gguf exists already/)
    expect(readFileSync(target, 'utf8')).toBe('mine')
  })

  it('says which file can not be written', async () => {
    const target = path.join(folder, 'missing', 'x.gguf')
    await expect(writeGguf(models + 'llama', target)).rejects.toThrow(/x\.gguf: can't be written \(ENOENT/)
  })
})
