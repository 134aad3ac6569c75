import type { ModelRunnerOutput, ModelWorker, SchedulerOutput } from '@octavo/core/engine'
import { mapValues } from '@octavo/core/ops'
import { tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'

/** What a stage needs of a group of ranks. */
export interface StageGroup {
  readonly rank: number
  readonly size: number
  send(buffer: Float32Array, options: { readonly dst: number }): void
  recv(buffer: Float32Array, options: { readonly src: number }): void
}

export interface PipelineStageOptions {
  readonly worker: Pick<ModelWorker, 'execute' | 'executeStage' | 'hiddenShape'>
  /** The ranks that have this one's place in their stages, the first stage's first. */
  readonly group: StageGroup
  /** Of the ranks of the last stage, which all compute the logits, the one that draws. */
  readonly isDrawing: boolean
}

/**
 * One rank's part of a plan. Every rank has the whole plan: token ids, block tables, who is dropped. Between the stages
 * travel hidden states alone, from each rank to the one in its place, and what was drawn comes back with a later plan.
 *
 * A sequence fails alone over stages as it does in one: a bad token is in the plan, so the last stage reports it, as it does
 * logits that are NaN; until then the sequence computes, as others may share its good blocks.
 */
export class PipelineStage {
  readonly #options: PipelineStageOptions

  constructor(options: PipelineStageOptions) {
    this.#options = options
  }

  /** @returns `null` on all ranks but the one that draws */
  execute(plan: SchedulerOutput): ModelRunnerOutput | null {
    const { worker, group, isDrawing } = this.#options
    const input = this.#receive(plan)
    try {
      if (group.rank < group.size - 1) {
        this.#send(worker.executeStage(plan, input))
        return null
      }
      const output = worker.execute(plan, input)
      return isDrawing ? output : null
    } finally {
      input?.dispose()
    }
  }

  #receive(plan: SchedulerOutput): Tensor2D | null {
    const { worker, group } = this.#options
    if (group.rank === 0 || plan.numTokens === 0) return null
    const shape = worker.hiddenShape(plan)
    const hidden = new Float32Array(shape[0] * shape[1])
    group.recv(hidden, { src: group.rank - 1 })
    return tensor2d(hidden, shape)
  }

  #send(hidden: Tensor2D | null): void {
    const { group } = this.#options
    if (hidden === null) return
    const send = (values: Float32Array): void => group.send(values, { dst: group.rank + 1 })
    try {
      mapValues(hidden, { shape: [0, hidden.shape[1]], map: send }).dispose()
    } finally {
      hidden.dispose()
    }
  }
}
