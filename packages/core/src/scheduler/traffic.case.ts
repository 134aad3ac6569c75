/** Random traffic for a scheduler: arrivals, aborts and faults, on configurations of all kinds. */
import fc from 'fast-check'
import type { SequencePooling } from '../sequence/sequence-pooling.ts'
import { resolveSchedulerConfig, type SchedulerConfig } from './scheduler-config.ts'

export const vocabSize = 12
export const prefixCacheSeed = 'fuzz'

/** A request of the traffic. */
export interface Arrival {
  readonly prefixGroup: number
  readonly prefixLength: number
  readonly suffix: readonly number[]
  readonly numSamples: number
  readonly cacheSalt: string | null
  readonly maxTokens: number | null
  readonly minTokens: number
  readonly ignoreEos: boolean
  readonly stopTokenIds: readonly number[]
  readonly promptLogprobs: number | null
  readonly priority: number
  /** What is made of the prompt, which then has one sample; `null`: it generates. */
  readonly poolingType: SequencePooling['type'] | null
  /** Take the ids of an aborted request rather than new ones. */
  readonly reusesId: boolean
}

/** Aborts pick among the live requests. */
export interface Tick {
  readonly arrivals: readonly Arrival[]
  readonly abortsBefore: readonly number[]
  readonly abortsInFlight: readonly number[]
  readonly arrivesInFlight: boolean
  /** What the executor makes of the plans of this tick. */
  readonly fault: Fault | null
}

/** The plan is lost, before or after the runner took it in; or one of its sequences fails; or some get no token yet. */
export type Fault =
  | { readonly kind: 'plan'; readonly isTakenIn: boolean }
  | { readonly kind: 'sequence'; readonly pick: number }
  | { readonly kind: 'deferral'; readonly picks: readonly number[] }

export interface Scenario {
  readonly config: SchedulerConfig
  /** Of what is drafted; `null`: nothing is. */
  readonly draftSeed: number | null
  readonly ticks: readonly Tick[]
}

const arrivalArbitrary: fc.Arbitrary<Arrival> = fc.record({
  prefixGroup: fc.integer({ min: 0, max: 1 }),
  prefixLength: fc.integer({ min: 0, max: 24 }),
  suffix: fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 5 }),
  numSamples: fc.oneof(
    { weight: 2, arbitrary: fc.constant(1) },
    { weight: 1, arbitrary: fc.integer({ min: 2, max: 4 }) },
  ),
  cacheSalt: fc.constantFrom(null, null, 'a', 'b'),
  maxTokens: fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 14 }) },
    { weight: 1, arbitrary: fc.constant(null) },
  ),
  minTokens: fc.constantFrom(0, 0, 1, 4),
  ignoreEos: fc.boolean(),
  stopTokenIds: fc.constantFrom([], [], [5], [3, 7]),
  promptLogprobs: fc.constantFrom(null, null, null, 0),
  priority: fc.integer({ min: -1, max: 1 }),
  poolingType: fc.constantFrom(null, null, null, null, 'last', 'cls', 'mean', 'all'),
  reusesId: fc.boolean(),
})

const rareAborts = fc.oneof(
  { weight: 4, arbitrary: fc.constant([]) },
  { weight: 1, arbitrary: fc.array(fc.nat(100), { minLength: 1, maxLength: 3 }) },
)

const faultArbitrary: fc.Arbitrary<Fault | null> = fc.oneof(
  { weight: 12, arbitrary: fc.constant(null) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('plan' as const), isTakenIn: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('sequence' as const), pick: fc.nat(100) }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('deferral' as const), picks: fc.array(fc.nat(100), { minLength: 1 }) }),
  },
)

const tickArbitrary: fc.Arbitrary<Tick> = fc.record({
  arrivals: fc.array(arrivalArbitrary, { maxLength: 2 }),
  abortsBefore: rareAborts,
  abortsInFlight: rareAborts,
  arrivesInFlight: fc.boolean(),
  fault: faultArbitrary,
})

export const scenarioArbitrary: fc.Arbitrary<Scenario> = fc
  .record({
    blockSize: fc.constantFrom(1, 2, 4, 4, 8),
    numCapacityTokens: fc.oneof(fc.integer({ min: 8, max: 64 }), fc.integer({ min: 64, max: 400 })),
    maxNumSeqs: fc.integer({ min: 1, max: 8 }),
    budget: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 8, max: 64 })),
    maxModelLen: fc.integer({ min: 12, max: 60 }),
    policy: fc.constantFrom('fcfs' as const, 'priority' as const),
    enablePrefixCaching: fc.boolean(),
    enableChunkedPrefill: fc.boolean(),
    longPrefillTokenThreshold: fc.constantFrom(0, 0, 3, 5),
    watermark: fc.constantFrom(0, 0, 0.1),
    maxPlansInFlight: fc.integer({ min: 1, max: 4 }),
    draftSeed: fc.oneof(fc.constant(null), fc.nat(1_000_000), fc.nat(1_000_000)),
    ticks: fc.array(tickArbitrary, { minLength: 1, maxLength: 30, size: 'max' }),
  })
  .map(({ numCapacityTokens, budget, draftSeed, ticks, ...options }) => {
    const minBudget = options.enableChunkedPrefill
      ? options.maxNumSeqs
      : Math.max(options.maxNumSeqs, options.maxModelLen)
    const config = resolveSchedulerConfig({
      ...options,
      numBlocks: 1 + Math.ceil(numCapacityTokens / options.blockSize),
      maxNumBatchedTokens: minBudget + budget,
      prefixCacheSeed,
    })
    return { config, draftSeed, ticks }
  })
