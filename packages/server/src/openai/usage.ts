import type { RequestOutput } from '@octavo/core'
import type { Usage } from '@octavo/sdk/protocol'

interface PromptCounts {
  readonly numPromptTokens: number
  readonly numCachedTokens: number
}

/** Counts the tokens of one answer: prompts once each, output tokens of all samples. */
export class UsageCounter {
  readonly #prompts = new Map<number, PromptCounts>()
  #numCompletionTokens = 0

  /** Takes deltas or one final output per prompt; with `promptOnly`, what was generated was not asked for. */
  add(promptIndex: number, output: RequestOutput, { promptOnly = false } = {}): void {
    this.#prompts.set(promptIndex, {
      numPromptTokens: output.promptTokenIds.length,
      numCachedTokens: output.numCachedTokens,
    })
    if (promptOnly) return
    for (const { tokenIds } of output.outputs) this.#numCompletionTokens += tokenIds.length
  }

  usage(): Usage {
    let numPromptTokens = 0
    let numCachedTokens = 0
    for (const counts of this.#prompts.values()) {
      numPromptTokens += counts.numPromptTokens
      numCachedTokens += counts.numCachedTokens
    }
    return {
      prompt_tokens: numPromptTokens,
      completion_tokens: this.#numCompletionTokens,
      total_tokens: numPromptTokens + this.#numCompletionTokens,
      prompt_tokens_details: { cached_tokens: numCachedTokens },
    }
  }
}
