import type { TokenLogprobs } from '../sequence/outputs.ts'
import type { Sequence } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import type { PromptLogprobs } from './scheduler-output.ts'

/** Gathers the logprobs of prompts, which come in the pieces in which the prompts are computed. */
export class PromptLogprobsCollector {
  /** Until the prompt is complete; entry i belongs to prompt position i + 1. */
  readonly #collected = new Map<Sequence, TokenLogprobs[]>()

  /** By position, for after a preemption the runner reports positions again. */
  add(sequence: Sequence, part: PromptLogprobs | undefined): void {
    if (part === undefined || sequence.params.promptLogprobs === null || sequence.numOutputTokens > 0) return
    const collected = this.#collected.get(sequence) ?? []
    for (const [i, entry] of part.entries.entries()) collected[part.startPosition - 1 + i] = entry
    this.#collected.set(sequence, collected)
  }

  /** One entry per prompt token, to go out with the first output tokens, `numNewTokens`; `null` after them, or if nobody asked. */
  take(sequence: Sequence, numNewTokens: number): (TokenLogprobs | null)[] | null {
    if (sequence.params.promptLogprobs === null || sequence.numOutputTokens > numNewTokens) return null
    const collected = this.#collected.get(sequence) ?? []
    this.#collected.delete(sequence)
    assert(
      collected.length === sequence.numPromptTokens - 1,
      `sequence ${sequence.id} has ${collected.length} prompt logprobs`,
    )
    return [null, ...collected]
  }

  forget(sequence: Sequence): void {
    this.#collected.delete(sequence)
  }
}
