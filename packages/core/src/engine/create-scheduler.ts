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
  const { schedulingPolicy, ...limits } = config.scheduler
  return new Scheduler({
    ...limits,
    policy: policy ?? schedulingPolicy,
    enablePrefixCaching: config.cache.enablePrefixCaching,
    maxModelLen,
    numBlocks,
    blockSize,
  })
}
