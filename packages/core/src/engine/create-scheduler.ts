import type { EngineConfig } from '../config/engine-config.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { EngineInfo } from './engine-info.ts'

/** The scheduler of an engine: its limits from the configuration, its blocks from what the executor could allocate. */
export function createScheduler(
  config: EngineConfig,
  { maxModelLen, numBlocks, blockSize }: Pick<EngineInfo, 'maxModelLen' | 'numBlocks' | 'blockSize'>,
  policy: SchedulingPolicy | null = null,
): Scheduler {
  return new Scheduler({
    maxNumSeqs: config.maxNumSeqs,
    maxNumBatchedTokens: config.maxNumBatchedTokens,
    maxModelLen,
    policy: policy ?? config.schedulingPolicy,
    enablePrefixCaching: config.enablePrefixCaching,
    enableChunkedPrefill: config.enableChunkedPrefill,
    longPrefillTokenThreshold: config.longPrefillTokenThreshold,
    numBlocks,
    blockSize,
  })
}
