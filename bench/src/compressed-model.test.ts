import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { LLM } from '@octavo/core'
import { afterAll, expect, test } from 'vitest'
import { numStepWeights, smokeShape } from './bench-shape.ts'
import { type IntegerFormat, writeCompressedModel } from './compressed-model.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'octavo-bench-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const shape = { ...smokeShape, numLayers: 1, intermediateSize: 256 }

test.each<[string, IntegerFormat, boolean]>([
  ['int4 g32', { bits: 4, groupSize: 32, isSymmetric: true, isOrdered: false }, true],
  ['int4 g128 in an order', { bits: 4, groupSize: 128, isSymmetric: false, isOrdered: true }, false],
  ['int8 per channel', { bits: 8, groupSize: null, isSymmetric: true, isOrdered: false }, false],
])('an engine reads %s', async (name, format, isTied) => {
  const place = path.join(folder, name)
  const model = { ...shape, isTied }
  writeCompressedModel(place, model, format)
  const numWeights = numStepWeights(model) + (isTied ? 0 : shape.vocabSize * shape.hiddenSize)
  const { size } = statSync(path.join(place, 'model.safetensors'))
  const scales = (2 * numWeights) / (format.groupSize ?? 128)
  expect(size).toBeGreaterThan((numWeights * format.bits) / 8)
  expect(size).toBeLessThan((numWeights * format.bits) / 8 + 1.3 * scales + 100_000)
  await using llm = await LLM.load(place, { backend: 'wasm', maxModelLen: 64, kvCacheMemory: '8MiB' })
  const [output] = await llm.generate([[100, 200, 300]], { maxTokens: 3, ignoreEos: true, logprobs: 1 })
  expect(output?.outputs[0]?.tokenIds).toHaveLength(3)
  for (const { chosen } of output?.outputs[0]?.logprobs ?? []) expect(Number.isFinite(chosen.logprob)).toBe(true)
})

test('layers of one input have one order of columns', () => {
  const place = path.join(folder, 'orders')
  writeCompressedModel(place, shape, { bits: 4, groupSize: 128, isSymmetric: true, isOrdered: true })
  const file = readFileSync(path.join(place, 'model.safetensors'))
  const start = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>
  const orderOf = (module: string): string => {
    const [begin, end] = header[`model.layers.0.${module}.weight_g_idx`]!.data_offsets
    return file.toString('hex', start + begin, start + end)
  }
  const queries = orderOf('self_attn.q_proj')
  expect(orderOf('self_attn.k_proj')).toBe(queries)
  expect(orderOf('self_attn.v_proj')).toBe(queries)
  const gate = orderOf('mlp.gate_proj')
  expect(orderOf('mlp.up_proj')).toBe(gate)
  expect(gate).not.toBe(queries)
})
