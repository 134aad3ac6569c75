import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'

/** What the loaded model needs and was given; the scheduler is built from it. */
export interface KvCacheSpec {
  readonly numBlocks: number
  readonly blockSize: number
  readonly maxModelLen: number
  readonly weightBytes: number
  readonly kvCacheBytes: number
}

/** Where a plan runs: inline, on worker threads, or on other ranks. */
export interface Executor {
  /** Plans that it runs at once; it runs them in the order in which they came. */
  readonly maxPlansInFlight: number
  initialize(): Promise<KvCacheSpec>
  executeModel(plan: SchedulerOutput): Promise<ModelRunnerOutput>
  shutdown(): Promise<void>
}
