import type { EngineConfig } from '../config/engine-config.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { EngineInfo } from './engine-info.ts'

/** What a scheduling policy may depend on besides the options of its module. */
export interface SchedulingPolicyContext {
  readonly config: EngineConfig
}

/** What a module of kind `scheduling-policy` exports as `createSchedulingPolicy`. */
export type CreateSchedulingPolicy = (
  context: SchedulingPolicyContext,
  options?: Readonly<Record<string, unknown>>,
) => SchedulingPolicy

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
