import type { EngineConfig } from '../config/engine-config.ts'
import type { DraftProposer } from '../scheduler/draft-proposer.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import type { SchedulingPolicy } from '../scheduler/scheduling-policy.ts'
import type { EngineInfo } from './engine-info.ts'
import type { Executor } from './executor.ts'
import { stepLimits } from './step-limits.ts'

/** What a scheduling policy may depend on besides the options of its module. */
export interface SchedulingPolicyContext {
  readonly config: EngineConfig
}

/** What a module of kind `scheduling-policy` exports as `createSchedulingPolicy`. */
export type CreateSchedulingPolicy = (
  context: SchedulingPolicyContext,
  options?: Readonly<Record<string, unknown>>,
) => SchedulingPolicy

/** What a proposer of drafts may depend on besides the options of its module. */
export interface DraftProposerContext {
  readonly config: EngineConfig
}

/** What a module of kind `draft-proposer` exports as `createDraftProposer`. */
export type CreateDraftProposer = (
  context: DraftProposerContext,
  options?: Readonly<Record<string, unknown>>,
) => DraftProposer

export interface CreateSchedulerOptions {
  /** `null` = the one that the configuration names. */
  readonly policy?: SchedulingPolicy | null
  /** `null` = no drafts. */
  readonly draftProposer?: DraftProposer | null
}

/** What an executor is able to do: blocks that it allocated, plans that it runs at once (default: 1). */
export type ExecutorLimits = Pick<EngineInfo, 'maxModelLen' | 'numBlocks' | 'blockSize' | 'needsWholePrompts'> &
  Partial<Pick<Executor, 'maxPlansInFlight'>>

/** The scheduler of an engine: its limits from the configuration and from the executor. */
export function createScheduler(
  config: EngineConfig,
  { maxModelLen, numBlocks, blockSize, needsWholePrompts = false, maxPlansInFlight = 1 }: ExecutorLimits,
  { policy = null, draftProposer = null }: CreateSchedulerOptions = {},
): Scheduler {
  const schedulerConfig = {
    ...stepLimits(config, { maxModelLen, needsWholePrompts }),
    policy: policy ?? config.scheduler.schedulingPolicy,
    enablePrefixCaching: config.cache.enablePrefixCaching && !needsWholePrompts,
    maxModelLen,
    numBlocks,
    blockSize,
    maxPlansInFlight,
  }
  return new Scheduler(schedulerConfig, { draftProposer })
}
