import type { Scheduler } from '../scheduler/scheduler.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { SequenceRequest } from '../sequence/sequence.ts'
import type { EngineMetrics } from './engine-client.ts'
import type { Executor } from './executor.ts'

export interface StepResult {
  readonly updates: readonly SequenceUpdate[]
  readonly numTokens: number
}

/** The loop that everything else serves. Knows token ids, never text. */
export class EngineCore {
  readonly #scheduler: Scheduler
  readonly #executor: Executor

  constructor(scheduler: Scheduler, executor: Executor) {
    this.#scheduler = scheduler
    this.#executor = executor
  }

  get hasWork(): boolean {
    return this.#scheduler.hasUnfinished()
  }

  addSequence(request: SequenceRequest): void {
    this.#scheduler.addSequence(request)
  }

  abortSequence(id: string): void {
    this.#scheduler.abortSequence(id)
  }

  async step(): Promise<StepResult> {
    const plan = this.#scheduler.schedule()
    const output = await this.#executor.executeModel(plan)
    const updates = this.#scheduler.updateFromOutput(plan, output)
    return { updates, numTokens: plan.numTokens }
  }

  metrics(): EngineMetrics {
    return this.#scheduler.stats()
  }

  async shutdown(): Promise<void> {
    await this.#executor.shutdown()
  }
}
