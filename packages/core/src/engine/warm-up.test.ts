import { fileURLToPath } from 'node:url'
import { memory, setBackend } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { loadFixture } from '../models/load-fixture.case.ts'
import type { Logger } from '../util/logger.ts'
import { InputBatch } from './input-batch.ts'
import { LLM } from './llm.ts'
import { ModelRunner } from './model-runner.ts'
import { createNoKvStorage } from '../tensor/no-kv-storage.ts'
import { batchSizes, paddedSizes, warmUp } from './warm-up.ts'
import { defaultSamplingParams } from '../sampling-params.ts'

describe('batchSizes', () => {
  it('ends with the maximum and pads little', () => {
    expect(batchSizes(64)).toEqual([1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64])
    expect(batchSizes(1)).toEqual([1])
    expect(batchSizes(5)).toEqual([1, 2, 4, 5])
    const sizes = batchSizes(8192)
    expect(sizes.length).toBeLessThan(80)
    sizes.slice(10).forEach((size, i) => expect(size / sizes[i + 9]!).toBeLessThanOrEqual(1.2))
    expect(paddedSizes(8192)(130)).toBe(144)
    expect(paddedSizes(100)(99)).toBe(100)
  })
})

describe('a padded batch', () => {
  it('is filled up in the null block, with sequences as long as the longest decode', () => {
    const batch = new InputBatch({ blockSize: 4, vocabSize: 100, paddedSize: () => 8 })
    const sequence = (id: string, numTokens: number, blockIds: number[], numComputedTokens: number) => ({
      id,
      tokenIds: Array.from({ length: numTokens }, (_, i) => 10 + i),
      numPromptTokens: 3,
      params: defaultSamplingParams,
      eosTokenIds: [],
      blockIds,
      numComputedTokens,
    })
    const { inputIds, attention, entries } = batch.prepare({
      newSequences: [sequence('prompt', 3, [5], 0), sequence('decode', 7, [2, 3], 6)],
      cachedSequences: [],
      scheduled: [
        { id: 'prompt', numTokens: 3 },
        { id: 'decode', numTokens: 1 },
      ],
      numTokens: 4,
      blockCopies: [],
      droppedIds: [],
    })
    expect(entries).toHaveLength(2)
    expect([...inputIds]).toEqual([10, 11, 12, 16, 0, 0, 0, 0])
    expect(attention).toMatchObject({ numTokens: 8, numSeqs: 6, maxBlocksPerSeq: 2 })
    expect([...attention.queryStartLoc]).toEqual([0, 3, 4, 5, 6, 7, 8])
    expect([...attention.seqLens]).toEqual([3, 7, 7, 7, 7, 7])
    expect([...attention.positions]).toEqual([0, 1, 2, 6, 6, 6, 6, 6])
    expect([...attention.slotMapping]).toEqual([20, 21, 22, 14, 2, 2, 2, 2])
    expect([...attention.blockTables].slice(0, 4)).toEqual([5, 0, 2, 3])
    expect([...attention.blockTables].slice(4)).toEqual(new Array(8).fill(0))
  })
})

describe('the option warmup', () => {
  it('is ignored by a backend that has nothing to prepare', async () => {
    const lines: string[] = []
    const logger: Logger = { debug() {}, warn() {}, error() {}, info: (line) => void lines.push(line) }
    const model = fileURLToPath(new URL('../../../../fixtures/models/llama', import.meta.url))
    await using llm = await LLM.load(model, { backend: 'cpu', warmup: true, maxModelLen: 64, logger })
    expect(llm.engine.info.warmup).toBeNull()
    expect(lines.filter((line) => !line.startsWith('the chat template has '))).toEqual([])
  })
})

describe('an encoder', () => {
  it('warms up with whole prompts alone, which are pooled', async () => {
    const pack = await createCpuPack()
    await setBackend(pack.name)
    const { numTensors } = memory()
    const model = await loadFixture('bert-embed', { pack })
    const kv = createNoKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks: 9, blockSize: 4 })
    const runner = new ModelRunner({ model, kv, paddedSize: paddedSizes(16) })
    const limits = { maxNumSeqs: 4, maxNumBatchedTokens: 16, maxModelLen: 32, blockSize: 4 }
    const policy = { isDefault: true, contextLengths: () => [8, 32] }
    const { numSteps } = warmUp(runner, policy, { ...limits, canGenerate: false, needsWholePrompts: true })
    expect(numSteps).toBe(batchSizes(16).length + 3)
    runner.dispose()
    expect([memory().numTensors, pack.usedBytes]).toEqual([numTensors, 0])
  })
})

describe('a stage', () => {
  it('warms up by itself, whatever it lacks of the model, and leaves nothing behind', async () => {
    const pack = await createCpuPack()
    await setBackend(pack.name)
    const { numTensors } = memory()
    const limits = { maxNumSeqs: 4, maxNumBatchedTokens: 16, maxModelLen: 32, blockSize: 4 }
    const policy = { isDefault: true, contextLengths: () => [8, 32] }
    const reports = []
    for (const layers of [
      { start: 0, end: 1 },
      { start: 1, end: 2 },
      { start: 2, end: 3 },
    ]) {
      const model = await loadFixture('llama', { pack, layers })
      const kv = pack.createKvStorage({ ...model.kvShape, dtype: 'float32', numBlocks: 9, blockSize: 4 })
      const runner = new ModelRunner({ model, kv, paddedSize: paddedSizes(limits.maxNumBatchedTokens) })
      reports.push(warmUp(runner, policy, limits).numSteps)
      runner.dispose()
    }
    expect(reports).toEqual([14, 14, 14])
    expect([memory().numTensors, pack.usedBytes]).toEqual([numTensors, 0])
  })
})
