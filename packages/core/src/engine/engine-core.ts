import { EngineSleepingError, InvalidRequestError } from '../errors.ts'
import { toTransferredError } from '../error-transfer.ts'
import type { Scheduler } from '../scheduler/scheduler.ts'
import type { ModelRunnerOutput, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import { grammarSpecOf } from '../structured-output/grammar-spec.ts'
import { assert } from '../util/assert.ts'
import type { CoreCommand } from './core-command.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { Executor } from './executor.ts'

export interface StepResult {
  readonly updates: readonly SequenceUpdate[]
  readonly numTokens: number
  /** What the executor rejected the plan with; `null` if it ran. The sequences that were in flight have ended with it. */
  readonly failure: Error | null
}

interface RunningPlan {
  readonly plan: SchedulerOutput
  readonly output: Promise<ModelRunnerOutput>
}

/** The loop that everything else serves. Knows token ids, never text. */
export class EngineCore {
  readonly #scheduler: Scheduler
  readonly #executor: Executor
  /** Oldest first. */
  readonly #running: RunningPlan[] = []
  /** Sequences that wait for their grammars. */
  readonly #held = new Map<string, SequenceRequest>()
  #isWithoutKvCache = false

  constructor(scheduler: Scheduler, executor: Executor) {
    this.#scheduler = scheduler
    this.#executor = executor
  }

  /** As the executor's. */
  get failed(): Promise<Error> | null {
    return this.#executor.failed ?? null
  }

  get hasWork(): boolean {
    return this.#scheduler.hasUnfinished() || this.#running.length > 0
  }

  /**
   * @returns `null` where the sequence is in; else what resolves when it is, or was aborted before, and rejects if it can't be
   * taken: its grammar is compiled first, while others run
   */
  addSequence(request: SequenceRequest): Promise<void> | null {
    if (this.#isWithoutKvCache) throw new EngineSleepingError()
    const spec = grammarSpecOf(request.params, request.eosTokenIds)
    if (spec === null) {
      this.#scheduler.addSequence(request)
      return null
    }
    if (this.#executor.compileGrammar === undefined) throw noGrammarsError()
    this.#held.set(request.id, request)
    return this.#executor.compileGrammar(spec).then(
      () => this.#release(request, (held) => this.#scheduler.addSequence(held)),
      (error: unknown) =>
        this.#release(request, () => {
          throw error
        }),
    )
  }

  abortSequence(id: string): void {
    if (!this.#held.delete(id)) this.#scheduler.abortSequence(id)
  }

  /** What is new need not wait for plans that run, where the executor runs more of them. */
  fillBesides(): void {
    if (this.#running.length > 0) this.#fill()
  }

  /**
   * Hands the executor as many plans as it runs at once, then waits for the oldest. Where it runs several, the one that
   * takes its place goes out before anybody hears of the tokens: a stage has nothing to do until then.
   */
  async step(): Promise<StepResult> {
    this.#fill()
    const { plan, output } = this.#running[0]!
    const result = await output.catch(toError)
    this.#running.shift()
    if (result instanceof Error) return this.#fail(result)
    const updates = this.#scheduler.updateFromOutput(plan, result)
    if (this.#executor.maxPlansInFlight > 1 && this.#scheduler.hasUnfinished()) this.#fill()
    return { updates, numTokens: plan.numTokens, failure: null }
  }

  /** @throws InvalidRequestError where the executor cannot do without its KV cache */
  async command(command: CoreCommand): Promise<void> {
    const isAsleep = this.#isWithoutKvCache
    if (command === 'resetPrefixCache') return this.#scheduler.resetPrefixCache()
    if (isAsleep === (command === 'releaseKvCache')) return
    if (this.#executor.releaseKvCache === undefined || this.#executor.restoreKvCache === undefined)
      throw noReleaseError()
    if (isAsleep) {
      await this.#executor.restoreKvCache()
      this.#isWithoutKvCache = false
      return
    }
    assert(!this.hasWork, 'a KV cache is released that sequences have')
    this.#isWithoutKvCache = true
    this.#scheduler.resetPrefixCache()
    try {
      await this.#executor.releaseKvCache()
    } catch (error) {
      this.#isWithoutKvCache = false
      throw error
    }
  }

  metrics(): EngineMetrics {
    const stats = this.#scheduler.stats()
    const numDeferredSeqs = this.#held.size
    return { ...stats, numDeferredSeqs, numWaitingSeqs: stats.numWaitingSeqs + numDeferredSeqs }
  }

  async shutdown(): Promise<void> {
    this.#held.clear()
    await Promise.allSettled(this.#running.map(({ output }) => output))
    await this.#executor.shutdown()
  }

  /** Nothing, if it was aborted meanwhile. */
  #release(request: SequenceRequest, go: (request: SequenceRequest) => void): void {
    if (this.#held.get(request.id) !== request) return
    this.#held.delete(request.id)
    go(request)
  }

  #fill(): void {
    while (this.#running.length < this.#executor.maxPlansInFlight) {
      const plan = this.#scheduler.schedule()
      if (plan === null) return
      const output = this.#run(plan)
      // Not unhandled, if it fails before its turn to be waited for.
      output.catch(() => {})
      this.#running.push({ plan, output })
    }
  }

  /** Rejects also where the executor throws at once. */
  async #run(plan: SchedulerOutput): Promise<ModelRunnerOutput> {
    return this.#executor.executeModel(plan)
  }

  /** Nothing is freed before nothing runs any more. */
  async #fail(failure: Error): Promise<StepResult> {
    await Promise.allSettled(this.#running.splice(0).map(({ output }) => output))
    return { updates: this.#scheduler.failPlansInFlight(toTransferredError(failure)), numTokens: 0, failure }
  }
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function noReleaseError(): InvalidRequestError {
  return new InvalidRequestError(
    [
      { field: 'level' },
      ' 1 needs an executor that can give its KV cache back, and the one of this engine cannot. Use 0 or 2.',
    ],
    'level',
  )
}

function noGrammarsError(): InvalidRequestError {
  return new InvalidRequestError(
    [
      { field: 'structuredOutput' },
      ' needs an executor that can hold outputs to grammars, and the one of this engine cannot. Leave it out.',
    ],
    'structuredOutput',
  )
}
