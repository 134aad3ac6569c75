import type { EngineConfig } from '../config/engine-config.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { KvCacheSpec } from './executor.ts'

/** The scheduler of an engine: its limits from the configuration, its blocks from what the executor could allocate. */
export function createScheduler(config: EngineConfig, { maxModelLen, numBlocks, blockSize }: KvCacheSpec): Scheduler {
  return new Scheduler({
    maxNumSeqs: config.maxNumSeqs,
    maxNumBatchedTokens: config.maxNumBatchedTokens,
    maxModelLen,
    policy: config.schedulingPolicy,
    enablePrefixCaching: config.enablePrefixCaching,
    enableChunkedPrefill: config.enableChunkedPrefill,
    longPrefillTokenThreshold: config.longPrefillTokenThreshold,
    numBlocks,
    blockSize,
  })
}
