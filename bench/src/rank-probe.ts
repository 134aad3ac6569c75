/**
 * A module of kind `linear-methods` that changes no weight: every rank imports modules, so this one can time what a rank
 * does without a line of it in the product. Options: `folder`, where step logs go.
 */
import { type Communicator, type ModelRunnerOutput, ModelWorker, type SchedulerOutput } from '@octavo/core/engine'
import type { CreateLinearMethods } from '@octavo/core/model'
import { monotonicMs, runDelayMs, type StepPlace, StepLogWriter } from './step-log.ts'

let communicationMs = 0

export const createLinearMethods: CreateLinearMethods = ({ communicator, linearMethods }, options = {}) => {
  if (communicator.size > 1) timeCollectives(communicator)
  timeSteps(new StepLogWriter(String(options['folder'])))
  return linearMethods
}

function timeCollectives(communicator: Communicator): void {
  const timed = <Args extends unknown[], R>(collective: (...args: Args) => R) => {
    return (...args: Args): R => {
      const startedMs = monotonicMs()
      const result = collective.apply(communicator, args)
      communicationMs += monotonicMs() - startedMs
      return result
    }
  }
  const { allReduce, allGather, allToAll } = communicator
  Object.assign(communicator, {
    allReduce: timed(allReduce),
    allGather: timed(allGather),
    allToAll: timed(allToAll),
  })
}

type RunPlan<R> = (this: ModelWorker, plan: SchedulerOutput, ...rest: never[]) => R

function timeSteps(log: StepLogWriter): void {
  const timed = <R>(place: StepPlace, run: RunPlan<R>): RunPlan<R> => {
    return function (plan, ...rest) {
      const runDelayAtStartMs = runDelayMs()
      const startedMs = monotonicMs()
      const before = communicationMs
      const result = run.call(this, plan, ...rest)
      const { numTokens, scheduled } = plan
      const times = { startedMs, endedMs: monotonicMs(), communicationMs: communicationMs - before }
      const delays = { runDelayAtStartMs, runDelayAtEndMs: runDelayMs() }
      if (numTokens > 0) log.write({ place, ...times, ...delays, numTokens, numSequences: scheduled.length })
      return result
    }
  }
  // One worker per thread.
  const worker = ModelWorker.prototype
  Object.assign(worker, {
    execute: timed<ModelRunnerOutput>('last-stage', worker.execute),
    executeStage: timed('stage', worker.executeStage),
  })
}
