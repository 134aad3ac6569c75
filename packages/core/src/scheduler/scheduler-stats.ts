import { addCounts, type HistogramCounts } from '../util/histogram.ts'

/** State and counters since the start; an engine passes them on as its metrics. */
export interface SchedulerStats {
  readonly numRunningSeqs: number
  readonly numWaitingSeqs: number
  /** Of those that wait, how many wait for something else than room: for their grammars. */
  readonly numDeferredSeqs: number
  readonly kvCacheUsage: number // 0..1
  readonly numKvBlocks: number
  /** Slots of the blocks in use that no token fills: what paging wastes. */
  readonly numUnfilledKvSlots: number
  readonly numPreemptions: number
  /** Prompt tokens of requests whose first token is out; samples of one request count once. */
  readonly promptTokens: number
  readonly generationTokens: number
  readonly prefixCacheQueries: number // tokens
  readonly prefixCacheHits: number // tokens
  readonly numSteps: number
  /** Tokens that steps computed, drafts included, by `stepTokenBounds`; steps without any are left out. */
  readonly stepTokens: HistogramCounts
  /** `null` where nothing proposes drafts. */
  readonly drafts: DraftStats | null
}

export interface DraftStats {
  /** Times that a sequence took drafts along. */
  readonly numDrafts: number
  readonly numDraftTokens: number
  readonly numAcceptedTokens: number
  /** Accepted at the first, second, … place behind a sequence's own tokens. */
  readonly numAcceptedPerPosition: readonly number[]
}

export const stepTokenBounds: readonly number[] = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384]

/** The state of one, and the counters of both. */
export function addCounters(now: SchedulerStats, past: SchedulerStats): SchedulerStats {
  return {
    ...now,
    numPreemptions: now.numPreemptions + past.numPreemptions,
    promptTokens: now.promptTokens + past.promptTokens,
    generationTokens: now.generationTokens + past.generationTokens,
    prefixCacheQueries: now.prefixCacheQueries + past.prefixCacheQueries,
    prefixCacheHits: now.prefixCacheHits + past.prefixCacheHits,
    numSteps: now.numSteps + past.numSteps,
    stepTokens: addCounts(now.stepTokens, past.stepTokens),
    drafts: addDrafts(now.drafts, past.drafts),
  }
}

/** The counters of an engine that holds nothing any more. */
export function withoutState(stats: SchedulerStats): SchedulerStats {
  return { ...stats, numRunningSeqs: 0, numWaitingSeqs: 0, numDeferredSeqs: 0, kvCacheUsage: 0, numUnfilledKvSlots: 0 }
}

function addDrafts(a: DraftStats | null, b: DraftStats | null): DraftStats | null {
  if (a === null || b === null) return a ?? b
  const [long, short] = [a.numAcceptedPerPosition, b.numAcceptedPerPosition].sort((x, y) => y.length - x.length)
  return {
    numDrafts: a.numDrafts + b.numDrafts,
    numDraftTokens: a.numDraftTokens + b.numDraftTokens,
    numAcceptedTokens: a.numAcceptedTokens + b.numAcceptedTokens,
    numAcceptedPerPosition: long!.map((count, i) => count + (short![i] ?? 0)),
  }
}
