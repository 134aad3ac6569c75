import { fileURLToPath } from 'node:url'
import { engine } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createBackend } from '../backends/backend.ts'
import { spyOnBinding, type SpiedBinding } from '../backends/tensorflow/spied-binding.case.ts'
import { skipReason, testedBinding } from '../backends/tensorflow/tensorflow-available.case.ts'
import { isTensorflowBackend, type TensorflowBackend } from '../backends/tensorflow/tensorflow-backend.ts'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import { resolveSamplingParams } from '../sampling-params.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'
import { unpackLogprobs } from '../sequence/packed-logprobs.ts'
import { assert } from '../util/assert.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import type { EngineInfo } from './engine-info.ts'
import { InlineExecutor } from './inline-executor.ts'
import { LLM } from './llm.ts'

const models = fileURLToPath(new URL('../../../../fixtures/models/', import.meta.url))
const vocabSize = 500 // every fixture's vocabulary is larger

interface Served {
  readonly core: EngineCore
  readonly info: EngineInfo
  add(id: string, numPromptTokens: number, maxTokens: number, numLogprobs?: number): void
  /** Steps until nothing is left to do; logprobs of the tokens by sequence. */
  finish(): Promise<Map<string, { tokens: number[]; logprobs: TokenLogprobs[] }>>
}

async function serve(family: string, options: Partial<EngineOptions>): Promise<Served> {
  const modelPath = `${models}${family}`
  const config = resolveEngineConfig({
    model: modelPath,
    backend: 'tensorflow',
    maxModelLen: 64,
    maxNumSeqs: 6,
    maxNumBatchedTokens: 24,
    kvCacheMemory: 32 * 1024 ** 2,
    ...options,
  })
  const executor = new InlineExecutor({ config, modelPath })
  const info = await executor.initialize()
  const core = new EngineCore(createScheduler(config, info), executor)
  return {
    core,
    info,
    add(id, numPromptTokens, maxTokens, numLogprobs) {
      const params = resolveSamplingParams(
        { temperature: 0, maxTokens, ignoreEos: true, ...(numLogprobs !== undefined && { logprobs: numLogprobs }) },
        { vocabSize, maxLogprobs: 5 },
      )
      core.addSequence({
        id,
        promptTokenIds: Array.from({ length: numPromptTokens }, (_, i) => (id.charCodeAt(0) * 31 + i * 17) % vocabSize),
        params,
        eosTokenIds: [],
        priority: 0,
        arrivalTime: 0,
        cacheSalt: null,
        forkOf: null,
      })
    },
    async finish() {
      const results = new Map<string, { tokens: number[]; logprobs: TokenLogprobs[] }>()
      while (core.hasWork) {
        for (const { id, newTokenIds, logprobs } of (await core.step()).updates) {
          const result = results.get(id) ?? { tokens: [], logprobs: [] }
          results.set(id, result)
          result.tokens.push(...newTokenIds)
          if (logprobs !== null)
            for (const entry of unpackLogprobs(logprobs)) if (entry !== null) result.logprobs.push(entry)
        }
      }
      return results
    },
  }
}

async function activeBackend(): Promise<TensorflowBackend> {
  await createBackend('tensorflow')
  const backend: unknown = engine().backend
  assert(isTensorflowBackend(backend), 'the tensorflow backend is not active')
  return backend
}

async function withSpy(run: (spied: SpiedBinding) => Promise<void>): Promise<void> {
  const spied = spyOnBinding(await activeBackend())
  try {
    await run(spied)
  } finally {
    spied.restore()
  }
}

const products = new Set(['MatMul'])

describe.skipIf(skipReason !== null)('serving on tensorflow', () => {
  it.each(['llama', 'gemma2', 'mixtral', 'qwen3-moe', 'gpt-oss'])(
    'brings one array of logits to the host per step: %s',
    (family) =>
      withSpy(async (spied) => {
        const { core, add } = await serve(family, { warmup: false })
        add('a', 40, 4)
        add('b', 5, 4)
        add('c', 3, 2, 3)
        for (let step = 0; core.hasWork; step++) {
          spied.clear()
          const { updates, numTokens } = await core.step()
          expect(spied.ops.length).toBeGreaterThan(0)
          const numSampled = updates.reduce((total, { newTokenIds }) => total + newTokenIds.length, 0)
          // The first prompt alone fills the first step, and has tokens left.
          expect(spied.numReads, `step ${step} of ${numTokens} tokens`).toBe(numSampled > 0 ? 1 : 0)
        }
        await core.shutdown()
      }),
  )

  it.each(['llama', 'gemma2', 'mixtral'])('runs nothing new after a warm-up: %s', { timeout: 120_000 }, (family) =>
    withSpy(async (spied) => {
      const { core, info, add, finish } = await serve(family, { warmup: true })
      expect(info.warmup?.numSteps).toBeGreaterThan(10)
      const known = new Set(spied.ops.flatMap(({ kernel, call }) => [kernel, call]))
      // Decodes that attend together: no op has a shape that it did not have before.
      for (const [i, id] of ['a', 'b', 'c', 'd', 'e'].entries()) add(id, 3, 40 - i)
      let numDecodes = 0
      while (core.hasWork) {
        spied.clear()
        const { numTokens } = await core.step()
        if (numTokens > 5) continue // the prompts
        numDecodes++
        expect(spied.ops.filter(({ call }) => !known.has(call)).map(({ call }) => call)).toEqual([])
      }
      expect(numDecodes).toBeGreaterThan(30)
      // Any mixture: no kernel is looked up anew, and no product with weights has a shape that it did not have before.
      spied.clear()
      add('a', 50, 9)
      add('b', 2, 30)
      add('c', 17, 12, 2)
      for (let i = 0; i < 5; i++) await core.step()
      for (const [i, id] of ['d', 'e', 'f', 'g', 'h'].entries()) add(id, 3 + 7 * i, 20 - 3 * i)
      await finish()
      expect(spied.ops.length).toBeGreaterThan(1000)
      expect(spied.ops.filter(({ kernel }) => !known.has(kernel)).map(({ kernel }) => kernel)).toEqual([])
      const newProducts = spied.ops.filter(({ name, call }) => products.has(name) && !known.has(call))
      expect(newProducts.map(({ call }) => call)).toEqual([])
      await core.shutdown()
    }),
  )

  it('changes no result, and leaves the cache and the handles as they were', async () => {
    assert(testedBinding !== null, 'no TensorFlow')
    const results = []
    const numHandles: number[] = []
    for (const warmup of [true, false, true]) {
      const { core, info, add, finish } = await serve('mixtral', { warmup })
      expect(info.warmup === null).toBe(!warmup)
      expect(core.metrics()).toMatchObject({ kvCacheUsage: 0, numSteps: 0, prefixCacheQueries: 0, promptTokens: 0 })
      for (const [i, id] of ['a', 'b', 'c'].entries()) add(id, 5 + 9 * i, 12, 2)
      results.push(await finish())
      await core.shutdown()
      numHandles.push(testedBinding.getNumOfTensors())
    }
    const [warm, cold] = results
    for (const [id, { tokens, logprobs }] of cold ?? []) {
      expect(warm?.get(id)?.tokens).toEqual(tokens)
      warm?.get(id)?.logprobs.forEach((entry, i) => {
        expect(entry.chosen.logprob).toBeCloseTo(logprobs[i]!.chosen.logprob, 4)
      })
    }
    expect(numHandles[2]).toBe(numHandles[0])
  })

  it('is off by default without a GPU, and says how long it took', async () => {
    const options = { backend: 'tensorflow', maxModelLen: 32, maxNumSeqs: 2, maxNumBatchedTokens: 16 }
    await using cold = await LLM.load(`${models}llama`, options)
    expect(cold.engine.info.warmup).toBeNull()
    const lines: string[] = []
    const logger = { debug() {}, warn() {}, error() {}, info: (line: string) => void lines.push(line) }
    await using warm = await LLM.load(`${models}llama`, { ...options, warmup: true, logger })
    expect(lines.filter((line) => !line.startsWith('the chat template has '))).toEqual([
      expect.stringMatching(/^warmed up tensorflow with \d+ batches in \d+\.\d s$/),
    ])
    const [output] = await warm.generate([[5, 6, 7]], { maxTokens: 3, temperature: 0 })
    expect(output?.outputs[0]?.tokenIds).toHaveLength(3)
  })
})
