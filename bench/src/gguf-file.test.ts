import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { LLM } from '@octavo/core'
import { afterAll, expect, test } from 'vitest'
import { type BenchFormat, numStepWeights, smokeShape, weightBytes } from './bench-shape.ts'
import { writeBenchModel } from './gguf-file.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const shape = { ...smokeShape, numLayers: 1, intermediateSize: 256 }

test.each<[BenchFormat, 'llama' | 'qwen2', boolean]>([
  ['q8_0', 'llama', false],
  ['q4_0', 'qwen2', true],
  ['f16', 'qwen2', false],
  ['bf16', 'llama', true],
])('an engine reads %s of %s, tied: %s', async (format, modelType, isTied) => {
  const file = path.join(folder, `${format}.gguf`)
  const model = { ...shape, modelType, isTied }
  writeBenchModel(file, model, format)
  const embedding = isTied ? 0 : weightBytes(shape.vocabSize * shape.hiddenSize, format)
  const ofWeights = weightBytes(numStepWeights(model), format) + embedding
  expect(statSync(file).size).toBeGreaterThan(ofWeights)
  expect(statSync(file).size).toBeLessThan(ofWeights + 300_000)
  await using llm = await LLM.load(file, { backend: 'wasm', maxModelLen: 64, kvCacheMemory: '8MiB' })
  const [output] = await llm.generate([[100, 200, 300]], { maxTokens: 3, ignoreEos: true, logprobs: 1 })
  expect(output?.outputs[0]?.tokenIds).toHaveLength(3)
  for (const { chosen } of output?.outputs[0]?.logprobs ?? []) expect(Number.isFinite(chosen.logprob)).toBe(true)
})
