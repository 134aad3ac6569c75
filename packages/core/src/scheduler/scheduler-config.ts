import { InvalidConfigError } from '../errors.ts'
import type { KvCacheConfig } from '../kv-cache/kv-cache-manager.ts'
import { resolveSchedulingPolicy, type SchedulingPolicy, type SchedulingPolicyName } from './scheduling-policy.ts'

export interface SchedulerConfig extends KvCacheConfig {
  /** Sequences in one step at most. */
  readonly maxNumSeqs: number
  /** Tokens computed in one step at most, whose plans are all those in flight at once. */
  readonly maxNumBatchedTokens: number
  /** Prompt and output tokens of a sequence at most. */
  readonly maxModelLen: number
  readonly policy: SchedulingPolicy
  /** Off: a prompt is computed whole in one step. */
  readonly enableChunkedPrefill: boolean
  /** Prompt tokens of one sequence in one step at most, so that long prompts leave room for others; 0 = no limit. */
  readonly longPrefillTokenThreshold: number
  /** What the executor runs at once: the running sequences and the token budget are split over so many plans. */
  readonly maxPlansInFlight: number
  /** Part of the blocks, 0 to 1, that an admission leaves free for the sequences that run already. */
  readonly watermark: number
}

type RequiredOption = 'numBlocks' | 'maxModelLen'

export type SchedulerConfigInput = Pick<SchedulerConfig, RequiredOption> &
  Partial<Omit<SchedulerConfig, RequiredOption | 'policy'>> & {
    readonly policy?: SchedulingPolicyName | SchedulingPolicy
  }

/** vLLM's. An engine passes its own (`config/engine-config.ts`). */
const defaults = {
  maxNumSeqs: 256,
  maxNumBatchedTokens: 2048,
  policy: 'fcfs',
  enablePrefixCaching: true,
  enableChunkedPrefill: true,
  longPrefillTokenThreshold: 0,
  maxPlansInFlight: 1,
  blockSize: 16,
  watermark: 0,
  prefixCacheSeed: null,
} as const

/**
 * Fills defaults, validates, freezes.
 * @throws InvalidConfigError naming the option, its value and the limit.
 */
export function resolveSchedulerConfig(input: SchedulerConfigInput): SchedulerConfig {
  const config: SchedulerConfig = Object.freeze({
    ...defaults,
    ...input,
    policy: resolveSchedulingPolicy(input.policy ?? defaults.policy),
  })
  checkInteger(config, 'blockSize', 1)
  checkInteger(config, 'numBlocks', 2)
  checkInteger(config, 'maxModelLen', 2)
  checkInteger(config, 'maxNumSeqs', 1)
  checkInteger(config, 'maxNumBatchedTokens', 1)
  checkInteger(config, 'longPrefillTokenThreshold', 0)
  checkInteger(config, 'maxPlansInFlight', 1)
  if (!(config.watermark >= 0 && config.watermark < 1)) {
    throw new InvalidConfigError('watermark', `must be at least 0 and less than 1, got ${config.watermark}.`)
  }
  checkBudget(config)
  return config
}

function checkBudget({ maxNumBatchedTokens, maxNumSeqs, maxModelLen, enableChunkedPrefill }: SchedulerConfig): void {
  if (maxNumBatchedTokens < maxNumSeqs) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${maxNumBatchedTokens}, less than maxNumSeqs ${maxNumSeqs}, so not every sequence could compute a token in each step. Raise it, or lower maxNumSeqs.`,
    )
  }
  if (!enableChunkedPrefill && maxNumBatchedTokens < maxModelLen) {
    throw new InvalidConfigError(
      'maxNumBatchedTokens',
      `is ${maxNumBatchedTokens}, less than maxModelLen ${maxModelLen}, so without chunked prefill the longest prompts could never run. Raise it, lower maxModelLen, or turn enableChunkedPrefill on.`,
    )
  }
}

function checkInteger(config: SchedulerConfig, option: keyof SchedulerConfig, min: number): void {
  const value = config[option]
  if (!Number.isSafeInteger(value) || Number(value) < min) {
    throw new InvalidConfigError(option, `must be an integer of at least ${min}, got ${String(value)}.`)
  }
}
