/** A module of kind `executor`: `@octavo/parallel`'s, with a log of when plans came and returned. Options: `folder` and `parallel`. */
import type { CreateExecutor, Executor } from '@octavo/core/engine'
import { parallelExecutor, type ParallelOptions } from '@octavo/parallel/executor'
import { monotonicMs, runDelayMs, StepLogWriter } from './step-log.ts'

const { url } = parallelExecutor({})
const { createExecutor: createParallelExecutor } = (await import(url)) as { createExecutor: CreateExecutor }

export const createExecutor: CreateExecutor = (context, options = {}) => {
  const executor: Executor = createParallelExecutor(
    context,
    options['parallel'] as ParallelOptions & Record<string, unknown>,
  )
  const log = new StepLogWriter(String(options['folder']))
  return {
    maxPlansInFlight: executor.maxPlansInFlight,
    ...(executor.failed && { failed: executor.failed }),
    initialize: () => executor.initialize(),
    shutdown: () => executor.shutdown(),
    async executeModel(plan) {
      const runDelayAtStartMs = runDelayMs()
      const startedMs = monotonicMs()
      const output = await executor.executeModel(plan)
      const times = { startedMs, endedMs: monotonicMs(), communicationMs: 0 }
      const delays = { runDelayAtStartMs, runDelayAtEndMs: runDelayMs() }
      const { numTokens, scheduled } = plan
      if (numTokens > 0) log.write({ place: 'driver', ...times, ...delays, numTokens, numSequences: scheduled.length })
      return output
    },
  }
}
