// An executor that drives one worker, counts plans, and shares the counts with the program.
import {
  type CreateExecutor,
  type Executor,
  type ExecutorContext,
  initializeWorkers,
  ModelWorker,
  type SchedulerOutput,
  singleRank,
  wholeMachine,
} from '@octavo/core/engine'

class CountingExecutor implements Executor {
  readonly maxPlansInFlight = 1
  readonly #context: ExecutorContext
  readonly #worker: ModelWorker
  /** Plans, tokens, most sequences in one plan. */
  readonly #counts: Int32Array

  constructor(context: ExecutorContext, counts: Int32Array) {
    this.#context = context
    this.#worker = new ModelWorker({ ...context, communicator: singleRank, share: wholeMachine })
    this.#counts = counts
  }

  initialize() {
    return initializeWorkers([this.#worker], this.#context.config)
  }

  async executeModel(plan: SchedulerOutput) {
    Atomics.add(this.#counts, 0, 1)
    Atomics.add(this.#counts, 1, plan.numTokens)
    Atomics.store(this.#counts, 2, Math.max(Atomics.load(this.#counts, 2), plan.scheduled.length))
    return this.#worker.execute(plan)
  }

  async shutdown() {
    this.#worker.dispose()
  }
}

export const createExecutor: CreateExecutor = (context, options = {}) => {
  const { counts } = options
  if (!(counts instanceof Int32Array)) throw new TypeError('the counting executor needs counts')
  return new CountingExecutor(context, counts)
}
