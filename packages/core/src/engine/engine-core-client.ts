import type { EngineDeadError } from '../errors.ts'
import { stepTokenBounds } from '../scheduler/scheduler-stats.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { LogLevel } from './executor.ts'
import type { EngineInfo } from './engine-info.ts'

/** What a core tells the front. Errors have their classes and fields, whatever lies in between. */
export interface EngineCoreEvents {
  onProgress(loadedBytes: number, totalBytes: number): void
  /** What the operator should know (`info`), or should change (`warn`). */
  onLog(level: LogLevel, message: string): void
  onUpdates(updates: readonly SequenceUpdate[]): void
  /** These sequences were not taken, or cannot go on; all others can. */
  onRejected(ids: readonly string[], error: Error): void
  /** Every sequence that was held is lost; the core may serve again later. */
  onLost(error: EngineDeadError): void
  /** As `onLost`, and for good. */
  onDead(error: EngineDeadError): void
}

/**
 * The token-level seam under `AsyncEngine`: sequences of token ids in, updates out. A thread, this very thread, another
 * machine, or several of these as one, so that a pool of engines tokenizes once.
 */
export interface EngineCoreClient {
  /** Loads the model, once; resolves when it can serve, rejects with what loading threw. */
  start(events: EngineCoreEvents): Promise<EngineInfo>
  /** Of the model that serves; after `start`. */
  readonly info: EngineInfo
  /** Why it takes no sequences now; `null` = it does. */
  readonly failure: EngineDeadError | null
  /** What comes of them arrives as events. @throws `failure` */
  add(requests: readonly SequenceRequest[]): void
  /** No event will mention these sequences. Unknown ids are passed over. */
  abort(ids: readonly string[]): void
  /** Resolves when it is done. @throws InvalidRequestError where the executor cannot */
  command(command: CoreCommand): Promise<void>
  /** As of the last step; counters run on where the core is started again. */
  metrics(): EngineMetrics
  /** Rejects with `EngineDeadError` when it cannot serve, or does not go on. */
  checkHealth(): Promise<void>
  /** Resolves within a bound, whatever the core does: it has `timeoutMs` to end by itself. */
  shutdown(options?: { readonly timeoutMs?: number }): Promise<void>
}

export function noMetrics({ numBlocks }: Pick<EngineInfo, 'numBlocks'>): EngineMetrics {
  return {
    numRunningSeqs: 0,
    numWaitingSeqs: 0,
    numDeferredSeqs: 0,
    kvCacheUsage: 0,
    numKvBlocks: numBlocks,
    numUnfilledKvSlots: 0,
    numPreemptions: 0,
    promptTokens: 0,
    generationTokens: 0,
    prefixCacheQueries: 0,
    prefixCacheHits: 0,
    numSteps: 0,
    stepTokens: { counts: stepTokenBounds.map(() => 0).concat(0), sum: 0 },
    drafts: null,
  }
}
