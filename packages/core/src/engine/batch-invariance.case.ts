/**
 * The engine's central promise, for any backend: continuous batching, chunked prefill, prefix-cache hits, preemption,
 * parallel samples, drafts and several plans in flight change no token, no logprob and no vector of any request. The
 * reference is each request run alone.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BackendProvider } from '../backends/backend-pack.ts'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import {
  defaultSamplingParams,
  resolveSamplingParams,
  type SamplingParams,
  type SamplingParamsInput,
} from '../sampling-params.ts'
import type { DraftProposer } from '../scheduler/draft-proposer.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { FinishReason } from '../sequence/outputs.ts'
import type { SequencePooling } from '../sequence/sequence-pooling.ts'
import type { Sequence, SequenceRequest } from '../sequence/sequence.ts'
import type { DType } from '../tensor/dtype.ts'
import type { KvDType } from '../tensor/kv-storage.ts'
import { uniformAt } from '../util/random.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import { InlineExecutor } from './inline-executor.ts'

const allFamilies = ['llama', 'mistral', 'qwen3', 'gemma2', 'mixtral', 'gpt-oss', 'gpt2'] as const
/** Those that read a prompt in both directions, whole; with and without layers behind the pooling. */
const encoderFamilies = ['bert-embed', 'bert-reranker'] as const
const maxModelLen = 96
const vocabSize = 500 // every fixture's vocabulary is larger

interface Setup {
  readonly options: Partial<EngineOptions>
  /** Pool size in blocks of 16; one sequence of `maxModelLen` takes 6. */
  readonly numBlocks: number
  readonly draftProposer?: DraftProposer
  readonly maxPlansInFlight?: number
}

interface Arrival {
  readonly request: SequenceRequest
  /** Before which step it arrives. */
  readonly step: number
}

interface Result {
  readonly tokenIds: number[]
  readonly logprobs: number[]
  readonly pooled: number[]
  finishReason: FinishReason | null
  stopReason: number | null
}

/** What happened in a run, or in several. */
interface Seen {
  numPreemptions: number
  prefixCacheHits: number
  /** Drafts. */
  numAccepted: number
  numRejected: number
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
  /** Default: all. */
  readonly families?: readonly string[]
  /** Default: all. */
  readonly encoderFamilies?: readonly string[]
}

interface Place extends DescribeBatchInvarianceOptions {
  readonly family: string
  readonly backend: string
}

async function run(
  { family, backend, fixtures, backendProviders = [], dtype, kvCacheDtype }: Place,
  { options, numBlocks, draftProposer, maxPlansInFlight = 1 }: Setup,
  arrivals: readonly Arrival[],
): Promise<{ results: Map<string, Result>; seen: Seen }> {
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
  const limits = { ...info, numBlocks: Math.min(numBlocks, info.numBlocks), maxPlansInFlight }
  const scheduler = createScheduler(config, limits, { ...(draftProposer && { draftProposer }) })
  let numDrafts = 0
  let numAccepted = 0
  const core = new EngineCore(scheduler, {
    maxPlansInFlight,
    initialize: () => executor.initialize(),
    executeModel: async (plan) => {
      const output = await executor.executeModel(plan)
      for (const { draftTokenIds = [] } of plan.scheduled) numDrafts += draftTokenIds.length
      for (const { tokenIds } of output.sampled) numAccepted += tokenIds.length - 1
      return output
    },
    compileGrammar: (spec) => executor.compileGrammar(spec),
    shutdown: () => executor.shutdown(),
  })
  const results = new Map<string, Result>()
  const waiting = [...arrivals].sort((a, b) => a.step - b.step)
  for (let step = 0; waiting.length > 0 || core.hasWork; step++) {
    while (waiting[0] !== undefined && waiting[0].step <= step) await core.addSequence(waiting.shift()!.request)
    if (!core.hasWork) continue
    const { updates, failure } = await core.step()
    if (failure !== null) throw failure
    for (const update of updates) collect(results, update)
  }
  await core.shutdown()
  const { numPreemptions, prefixCacheHits } = core.metrics()
  return { results, seen: { numPreemptions, prefixCacheHits, numAccepted, numRejected: numDrafts - numAccepted } }
}

function collect(results: Map<string, Result>, update: SequenceUpdate): void {
  const fresh = { tokenIds: [], logprobs: [], pooled: [], finishReason: null, stopReason: null }
  const result: Result = results.get(update.id) ?? fresh
  result.tokenIds.push(...update.newTokenIds)
  result.logprobs.push(...(update.logprobs ?? []))
  result.pooled.push(...(update.pooled?.data ?? []))
  result.finishReason = update.finishReason
  result.stopReason = update.stopReason
  results.set(update.id, result)
}

/** Drafts of up to 7 tokens, each right more often than not: it knows what comes. */
class KnowingProposer implements DraftProposer {
  #numProposed = 0
  readonly #expected: ReadonlyMap<string, Result>
  readonly #seed: number

  constructor(expected: ReadonlyMap<string, Result>, seed: number) {
    this.#expected = expected
    this.#seed = seed
  }

  propose({ id, numOutputTokens }: Sequence): number[] {
    const at = ++this.#numProposed * 32
    const random = (i: number): number => uniformAt(this.#seed, at + i)
    const right = this.#expected.get(id)!.tokenIds.slice(numOutputTokens)
    return Array.from({ length: Math.floor(random(0) * 8) }, (_, i) => {
      const other = Math.floor(random(2 * i + 1) * vocabSize)
      return random(2 * i + 2) < 0.8 ? (right[i] ?? other) : other
    })
  }
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

/** Prompts of which vectors are made, of all kinds: some read the prefix cache, others fill it alone. */
const pooledArbitrary = fc.record({
  sharedLength: fc.constantFrom(0, 16, 33, 40),
  own: fc.array(fc.integer({ min: 1, max: vocabSize - 1 }), { minLength: 1, maxLength: 40 }),
  step: fc.integer({ min: 0, max: 12 }),
  pooling: fc.record({
    type: fc.constantFrom('last', 'last', 'mean', 'cls', 'all'),
    activation: fc.constantFrom('normalize', 'softmax', 'none'),
    dimensions: fc.constantFrom(null, 1),
  }),
  hasTypes: fc.boolean(),
})

const stopTokenIds = Array.from({ length: 12 }, (_, i) => i * 40)

/** What a draw may depend on besides the logits, and what may end a sequence. */
const extras: readonly SamplingParamsInput[] = [
  { repetitionPenalty: 1.1 },
  { repetitionPenalty: 1.1, frequencyPenalty: 0.5, stopTokenIds },
  { presencePenalty: 0.7, badWordsTokenIds: Array.from({ length: vocabSize }, (_, id) => [id, id]) },
  { stopTokenIds, includeStopStrInOutput: true },
]

/** What outputs may be held to, and how long they may think. */
const grammarsAndThinking: readonly Partial<SamplingParams>[] = [
  { grammar: grammarOf('root ::= [a-z]+ (" " [a-z]+){1,4} "."') },
  { grammar: grammarOf('root ::= "[" item ("," item)* "]"\nitem ::= [0-9]+ | root | "\\u00e9"') },
  { grammar: grammarOf('root ::= "one" | "two words" | "th\\u00fcrd"'), ignoreEos: true },
  { thinking: { maxTokens: 3, startTokenIds: [], endTokenIds: [17, 18], isOpen: true } },
]

function grammarOf(grammar: string): string {
  return JSON.stringify({ type: 'grammar', grammar })
}

type RandomRequest = typeof requestArbitrary extends fc.Arbitrary<infer T> ? T : never

/** `limits`: of one request after the other. */
function toArrivals(requests: readonly RandomRequest[], limits: readonly Partial<SamplingParams>[] = [{}]): Arrival[] {
  return requests.flatMap(({ sharedLength, own, maxTokens, temperature, step, isForked }, i) => {
    // Without them the backend draws, where it has a kernel for that; with them the host does.
    const logprobs = i % 2 === 0 ? 2 : null
    const params = (seed: number): SamplingParams => ({
      ...resolveSamplingParams(
        {
          maxTokens,
          temperature,
          seed,
          topP: 0.95,
          logprobs,
          minTokens: Math.min(i, maxTokens),
          ...extras[i % extras.length],
        },
        { vocabSize, maxLogprobs: 20 },
      ),
      ...limits[i % limits.length],
    })
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

type RandomPooled = typeof pooledArbitrary extends fc.Arbitrary<infer T> ? T : never

function toPooledArrivals(requests: readonly RandomPooled[], head: SequencePooling['head']): Arrival[] {
  return requests.map(({ sharedLength, own, step, pooling, hasTypes }, i) => ({
    step,
    request: {
      id: `p${i}`,
      promptTokenIds: [...prefix.slice(0, sharedLength), ...own],
      params: { ...defaultSamplingParams, maxTokens: 1 },
      pooling: { head, ...pooling },
      ...(hasTypes && { tokenTypeIds: [...Array(sharedLength).fill(0), ...own.map(() => 1)] }),
      eosTokenIds: [],
      priority: 0,
      arrivalTime: i,
      cacheSalt: null,
      forkOf: null,
    },
  }))
}

interface Extent {
  readonly numRuns: number
  readonly limits?: readonly Partial<SamplingParams>[]
}

async function expectInvariance(place: Place, { numRuns, limits }: Extent): Promise<Seen> {
  const all: Seen = { numPreemptions: 0, prefixCacheHits: 0, numAccepted: 0, numRejected: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.array(requestArbitrary, { minLength: 3, maxLength: 7 }),
      fc.array(pooledArbitrary, { minLength: 1, maxLength: 4 }),
      fc.record({
        maxNumBatchedTokens: fc.constantFrom(8, 13, 64, 512),
        numBlocks: fc.constantFrom(8, 11, 40),
        enablePrefixCaching: fc.boolean(),
        draftSeed: fc.nat(),
        maxPlansInFlight: fc.integer({ min: 1, max: 3 }),
      }),
      async (
        requests,
        pooled,
        { maxNumBatchedTokens, numBlocks, enablePrefixCaching, draftSeed, maxPlansInFlight },
      ) => {
        const others = limits === undefined ? toPooledArrivals(pooled, 'embed') : []
        const arrivals = [...toArrivals(requests, limits), ...others]
        const alone = await runAlone(place, arrivals)
        const setup = { options: { maxNumBatchedTokens, maxNumSeqs: 8, enablePrefixCaching }, numBlocks }
        const draftProposer = new KnowingProposer(alone, draftSeed)
        for (const more of [{}, { draftProposer, maxPlansInFlight }]) {
          const { results, seen } = await run(place, { ...setup, ...more }, arrivals)
          expect(results).toEqual(alone)
          for (const key of Object.keys(all) as (keyof Seen)[]) all[key] += seen[key]
        }
      },
    ),
    { numRuns, seed: 20_261_122 },
  )
  return all
}

async function runAlone(place: Place, arrivals: readonly Arrival[]): Promise<Map<string, Result>> {
  const alone = new Map<string, Result>()
  for (const { request } of arrivals) {
    const { results } = await run(place, { options: { enablePrefixCaching: false }, numBlocks: 100 }, [
      { request: { ...request, forkOf: null }, step: 0 },
    ])
    alone.set(request.id, results.get(request.id)!)
  }
  return alone
}

/** Prompts that are read whole: with others in a batch, in any order, their vectors are those of a lone run. */
async function expectWholePrompts(place: Place, head: SequencePooling['head']): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      fc.array(pooledArbitrary, { minLength: 2, maxLength: 9 }),
      fc.record({
        maxNumBatchedTokens: fc.constantFrom(8, 128, 512),
        numBlocks: fc.constantFrom(8, 40),
        maxPlansInFlight: fc.integer({ min: 1, max: 3 }),
      }),
      async (requests, { maxNumBatchedTokens, numBlocks, maxPlansInFlight }) => {
        const arrivals = toPooledArrivals(requests, head)
        const alone = await runAlone(place, arrivals)
        const options = { maxNumBatchedTokens, maxNumSeqs: 8 }
        const { results } = await run(place, { options, numBlocks, maxPlansInFlight }, arrivals)
        expect(results).toEqual(alone)
        expect([...results.values()].every(({ pooled }) => pooled.length > 0)).toBe(true)
      },
    ),
    { numRuns: 6, seed: 20_261_130 },
  )
}

export function describeBatchInvariance(backend: string, options: DescribeBatchInvarianceOptions): void {
  describe(`batch invariance on ${backend}, weights ${options.dtype ?? 'as stored'}, KV ${options.kvCacheDtype ?? 'float32'}`, () => {
    const expectAll = ({ numPreemptions, prefixCacheHits, numAccepted, numRejected }: Seen): void => {
      expect(numPreemptions, 'the small pools must have caused preemptions').toBeGreaterThan(0)
      expect(prefixCacheHits, 'the shared prefixes must have been found').toBeGreaterThan(0)
      expect(numAccepted, 'drafts must have been accepted').toBeGreaterThan(0)
      expect(numRejected, 'and rejected').toBeGreaterThan(0)
    }

    it.each(options.families ?? allFamilies)('%s: tokens and logprobs are those of a lone run', async (family) => {
      expectAll(await expectInvariance({ ...options, family, backend }, { numRuns: 6 }))
    })

    it.each(options.encoderFamilies ?? encoderFamilies)('%s: vectors are those of a lone run', async (family) => {
      const head = family === 'bert-reranker' ? 'classify' : 'embed'
      await expectWholePrompts({ ...options, family, backend }, head)
    })

    it('llama: so they are within grammars and limits of thinking', async () => {
      const place = { ...options, family: 'llama', backend }
      expectAll(await expectInvariance(place, { numRuns: 3, limits: grammarsAndThinking }))
    })
  })
}
