import { z } from 'zod'
import { unsupportedOption } from '../unsupported-option.ts'

/** Query of POST /sleep. */
export const sleepQuerySchema = z.object({
  /** 0: nothing runs; 1 (the default): the KV cache's memory is given back, too; 2: all memory is. */
  level: z.enum(['0', '1', '2']).optional(),
  /** `abort` (the default): running requests end, and new ones are refused; `wait`: they end by themselves, and new ones wait. */
  mode: z.enum(['abort', 'wait']).optional(),
})

/** Query of POST /wake_up. */
export const wakeUpQuerySchema = z.object({ tags: unsupportedOption() })

/** Answer of GET /is_sleeping. */
export const sleepStateSchema = z.looseObject({ is_sleeping: z.boolean() })

/** Query of POST /reset_prefix_cache. */
export const resetPrefixCacheQuerySchema = z.object({
  /** Running requests keep what they have, and nobody else will find it. */
  reset_running_requests: z.enum(['false']).optional(),
  /** There is no other cache. */
  reset_external: z.enum(['false']).optional(),
})

export type SleepState = z.infer<typeof sleepStateSchema>
