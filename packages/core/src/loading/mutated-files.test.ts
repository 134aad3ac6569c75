import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { parseModelConfig } from '../config/model-config.ts'
import { OctavoError } from '../errors.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { uniformAt } from '../util/random.ts'
import { openCheckpoint } from './checkpoint.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'octavo-mutated-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Numbers below `n`, the same for every run. */
function integers(seed: number): (n: number) => number {
  let drawn = 0
  return (n) => Math.floor(uniformAt(seed, drawn++) * n)
}

/** Some bytes of the header written over, taken out or put in between, or the file cut off. */
function mutate(original: Buffer, headerLength: number, below: (n: number) => number): Buffer {
  const at = below(headerLength)
  const noise = Buffer.from(Array.from({ length: 1 + below(32) }, () => below(256)))
  switch (below(4)) {
    case 0: {
      const bytes = Buffer.from(original)
      for (let i = 0; i <= below(6); i++) bytes[below(headerLength)] = below(256)
      return bytes
    }
    case 1:
      return original.subarray(0, below(2) === 0 ? at : below(original.length))
    case 2:
      return Buffer.concat([original.subarray(0, at), original.subarray(at + noise.length)])
    default:
      return Buffer.concat([original.subarray(0, at), noise, original.subarray(at)])
  }
}

/** Everything of a checkpoint that is read before its weights, and every weight. */
async function readAll(path: string): Promise<void> {
  const checkpoint = await openCheckpoint(path)
  parseModelConfig(checkpoint.config, checkpoint.path)
  createTokenizer(checkpoint.readTokenizer())
  const weights = checkpoint.openWeights()
  try {
    for (const name of weights.names()) weights.readFloat32(name)
  } finally {
    weights.close()
  }
}

describe('files that are damaged', () => {
  it.each([
    ['safetensors', 'models/llama', 'model.safetensors'],
    ['GGUF', 'gguf/llama-q4_0.gguf', null],
  ])('are read or refused with a typed error: %s', async (kind, source, weightFile) => {
    const root = join(folder, weightFile === null ? 'model.gguf' : 'model')
    cpSync(join(fixtures, source), root, { recursive: true })
    const file = weightFile === null ? root : join(root, weightFile)
    const original = readFileSync(file)
    const headerLength = weightFile === null ? 14_000 : 8 + Number(original.readBigUInt64LE(0))
    const below = integers(kind.length)
    let numRefused = 0
    for (let i = 0; i < 150; i++) {
      writeFileSync(file, mutate(original, headerLength, below))
      try {
        await readAll(root)
      } catch (error) {
        expect(OctavoError.isInstance(error), `mutation ${i}: ${String(error)}`).toBe(true)
        numRefused++
      }
    }
    expect(numRefused).toBeGreaterThan(75)
  })
})
