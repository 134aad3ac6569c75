import type { EngineConfig } from '../config/engine-config.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { EngineInfo } from './engine-info.ts'
import type { Executor } from './executor.ts'

/** What a scheduling policy may depend on besides the options of its module. */
export interface SchedulingPolicyContext {
  readonly config: EngineConfig
}

/** What a module of kind `scheduling-policy` exports as `createSchedulingPolicy`. */
export type CreateSchedulingPolicy = (
  context: SchedulingPolicyContext,
  options?: Readonly<Record<string, unknown>>,
) => SchedulingPolicy

/** What an executor is able to do: blocks that it allocated, plans that it runs at once (default: 1). */
export type ExecutorLimits = Pick<EngineInfo, 'maxModelLen' | 'numBlocks' | 'blockSize'> &
  Partial<Pick<Executor, 'maxPlansInFlight'>>

/** The scheduler of an engine: its limits from the configuration and from the executor. */
export function createScheduler(
  config: EngineConfig,
  { maxModelLen, numBlocks, blockSize, maxPlansInFlight = 1 }: ExecutorLimits,
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
    maxPlansInFlight,
  })
}
