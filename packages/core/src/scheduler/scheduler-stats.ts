/** State and counters since the start; an engine passes them on as its metrics. */
export interface SchedulerStats {
  readonly numRunningSeqs: number
  readonly numWaitingSeqs: number
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
}
