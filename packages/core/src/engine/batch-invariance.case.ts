/**
 * The engine's central promise, for any backend: continuous batching, chunked prefill, prefix-cache hits, preemption and
 * parallel samples change no token and no logprob of any request. The reference is each request run alone.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BackendProvider } from '../backends/backend-pack.ts'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import { resolveSamplingParams, type SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { DType } from '../tensor/dtype.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import { InlineExecutor } from './inline-executor.ts'

const families = ['llama', 'mistral', 'qwen3', 'gemma2', 'mixtral', 'gpt-oss', 'gpt2'] as const
const maxModelLen = 96
const vocabSize = 500 // every fixture's vocabulary is larger

interface Setup {
  readonly options: Partial<EngineOptions>
  /** Pool size in blocks of 16; one sequence of `maxModelLen` takes 6. */
  readonly numBlocks: number
}

interface Arrival {
  readonly request: SequenceRequest
  /** Before which step it arrives. */
  readonly step: number
}

interface Result {
  readonly tokenIds: number[]
  readonly logprobs: number[]
}

export interface DescribeBatchInvarianceOptions {
  /** The folder of golden data, with a slash at its end. */
  readonly fixtures: string
  /** Backends besides core's own. */
  readonly backendProviders?: readonly BackendProvider[]
  /** How weights are kept, as in `EngineOptions`. */
  readonly dtype?: DType
  /** How keys and values are kept; float32 where left out. */
  readonly kvCacheDtype?: KvDType
}

interface Place extends DescribeBatchInvarianceOptions {
  readonly family: string
  readonly backend: string
}

async function run(
  { family, backend, fixtures, backendProviders = [], dtype, kvCacheDtype }: Place,
  { options, numBlocks }: Setup,
  arrivals: readonly Arrival[],
): Promise<{ results: Map<string, Result>; core: EngineCore }> {
  const modelPath = `${fixtures}models/${family}`
  const config = resolveEngineConfig({
    model: modelPath,
    backend,
    maxModelLen,
    kvCacheMemory: 64 * 1024 ** 2,
    ...(dtype && { dtype }),
    ...(kvCacheDtype && { kvCacheDtype }),
    ...options,
  })
  const executor = new InlineExecutor({ config, modelPath, workerModules: { backends: backendProviders } })
  const info = await executor.initialize()
  const scheduler = createScheduler(config, { ...info, numBlocks: Math.min(numBlocks, info.numBlocks) })
  const core = new EngineCore(scheduler, executor)
  const results = new Map<string, Result>()
  const waiting = [...arrivals].sort((a, b) => a.step - b.step)
  for (let step = 0; waiting.length > 0 || core.hasWork; step++) {
    while (waiting[0] !== undefined && waiting[0].step <= step) core.addSequence(waiting.shift()!.request)
    if (!core.hasWork) continue
    const { updates, failure } = await core.step()
    if (failure !== null) throw failure
    for (const update of updates) collect(results, update)
  }
  await core.shutdown()
  return { results, core }
}

function collect(results: Map<string, Result>, update: SequenceUpdate): void {
  const result = results.get(update.id) ?? { tokenIds: [], logprobs: [] }
  result.tokenIds.push(...update.newTokenIds)
  result.logprobs.push(...(update.logprobs ?? []))
  results.set(update.id, result)
}

const prefix = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % vocabSize)

/** Prompts that share prefixes of several lengths, greedy and seeded. */
const requestArbitrary = fc.record({
  sharedLength: fc.constantFrom(0, 5, 16, 33, 40),
  own: fc.array(fc.integer({ min: 1, max: vocabSize - 1 }), { minLength: 1, maxLength: 25 }),
  maxTokens: fc.integer({ min: 1, max: 24 }),
  temperature: fc.constantFrom(0, 0, 0.8),
  step: fc.integer({ min: 0, max: 12 }),
  isForked: fc.boolean(),
})

function toArrivals(
  requests: readonly (typeof requestArbitrary extends fc.Arbitrary<infer T> ? T : never)[],
): Arrival[] {
  return requests.flatMap(({ sharedLength, own, maxTokens, temperature, step, isForked }, i) => {
    // Without them the backend draws, where it has a kernel for that; with them the host does.
    const logprobs = i % 2 === 0 ? 2 : null
    const params = (seed: number): SamplingParams =>
      resolveSamplingParams(
        { maxTokens, temperature, seed, topP: 0.95, repetitionPenalty: 1.1, logprobs },
        { vocabSize, maxLogprobs: 20 },
      )
    const leader: SequenceRequest = {
      id: `r${i}`,
      promptTokenIds: [...prefix.slice(0, sharedLength), ...own],
      params: params(i),
      eosTokenIds: [],
      priority: 0,
      arrivalTime: i,
      cacheSalt: null,
      forkOf: null,
    }
    const sibling: SequenceRequest = { ...leader, id: `r${i}b`, params: params(i + 1000), forkOf: leader.id }
    return (isForked ? [leader, sibling] : [leader]).map((request) => ({ request, step }))
  })
}

export function describeBatchInvariance(backend: string, options: DescribeBatchInvarianceOptions): void {
  describe(`batch invariance on ${backend}, weights ${options.dtype ?? 'as stored'}, KV ${options.kvCacheDtype ?? 'float32'}`, () => {
    it.each(families)('%s: tokens and logprobs are those of a lone run', async (family) => {
      const place = { ...options, family, backend }
      let numPreemptions = 0
      let numCacheHits = 0
      await fc.assert(
        fc.asyncProperty(
          fc.array(requestArbitrary, { minLength: 3, maxLength: 7 }),
          fc.record({
            maxNumBatchedTokens: fc.constantFrom(8, 13, 64, 512),
            numBlocks: fc.constantFrom(9, 12, 40),
            enablePrefixCaching: fc.boolean(),
          }),
          async (requests, { maxNumBatchedTokens, numBlocks, enablePrefixCaching }) => {
            const arrivals = toArrivals(requests)
            const crowded = await run(
              place,
              { options: { maxNumBatchedTokens, maxNumSeqs: 8, enablePrefixCaching }, numBlocks },
              arrivals,
            )
            numPreemptions += crowded.core.metrics().numPreemptions
            numCacheHits += crowded.core.metrics().prefixCacheHits
            for (const { request } of arrivals) {
              const alone = await run(place, { options: { enablePrefixCaching: false }, numBlocks: 100 }, [
                { request: { ...request, forkOf: null }, step: 0 },
              ])
              expect(crowded.results.get(request.id), request.id).toEqual(alone.results.get(request.id))
            }
          },
        ),
        { numRuns: 6, seed: 20_261_122 },
      )
      expect(numPreemptions, 'the small pools must have caused preemptions').toBeGreaterThan(0)
      expect(numCacheHits, 'the shared prefixes must have been found').toBeGreaterThan(0)
    })
  })
}
