import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { CompletionOutput, OutputTokenLogprobs, FinishReason } from '../sequence/outputs.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import { countCodePoints } from '../tokenizer/utf8.ts'
import type { LogprobDecoder } from './logprob-decoder.ts'
import { type StopAutomaton, StopMatcher } from './stop-strings.ts'

export interface SampleOutputOptions {
  readonly index: number
  readonly params: SamplingParams
  readonly promptTokenIds: readonly number[]
  readonly decoder: LogprobDecoder
  /** Of `params.stop`, shared by the samples of a request. */
  readonly stops: readonly StopAutomaton[]
}

/** The text side of one sample: ids in, text up to its stop out. */
export class SampleOutput {
  readonly index: number
  readonly #params: SamplingParams
  readonly #decoder: LogprobDecoder
  readonly #detokenizer: Detokenizer | null
  readonly #tokenIds: number[] = []
  readonly #logprobs: OutputTokenLogprobs[] | null
  readonly #stopMatcher: StopMatcher
  #cumulativeLogprob = 0
  #text = ''
  /** Of the text; counted for logprobs only. */
  #numCodePoints = 0
  #finishReason: FinishReason | null = null
  #stopReason: string | number | null = null
  /** How much a delta consumer has had. */
  #numTextTaken = 0
  #numTokensTaken = 0
  #hasChanged = false

  constructor({ index, params, promptTokenIds, decoder, stops }: SampleOutputOptions) {
    const { detokenize, skipSpecialTokens, spacesBetweenSpecialTokens } = params
    this.index = index
    this.#params = params
    this.#decoder = decoder
    this.#detokenizer = detokenize
      ? new Detokenizer(decoder.tokenizer, { skipSpecialTokens, spacesBetweenSpecialTokens, promptTokenIds })
      : null
    this.#logprobs = params.logprobs === null ? null : []
    this.#stopMatcher = new StopMatcher(stops)
  }

  get isFinished(): boolean {
    return this.#finishReason !== null
  }

  /** Whether there is something that `delta()` has not given yet. */
  get hasChanged(): boolean {
    return this.#hasChanged
  }

  /** Takes what a step added. Returns true if a stop string ended the sample, which the engine does not know of. */
  push(update: SequenceUpdate): boolean {
    if (this.isFinished) return false
    this.#hasChanged = true
    for (const [i, tokenId] of update.newTokenIds.entries()) {
      const isLast = i === update.newTokenIds.length - 1
      this.#addToken(tokenId, update, i)
      // The token that ended it (end of sequence, or a stop token id) is no text.
      const isStopToken = isLast && update.finishReason === 'stop' && !this.#params.includeStopStrInOutput
      if (!isStopToken && this.#addText(this.#detokenizer?.push(tokenId) ?? ''))
        return update.finishReason === null || !isLast
    }
    if (update.finishReason !== null) this.finish(update.finishReason, update.stopReason)
    return false
  }

  finish(reason: FinishReason, stopReason: string | number | null): void {
    this.#text += this.#detokenizer?.flush() ?? ''
    this.#finishReason = reason
    this.#stopReason = stopReason
    this.#hasChanged = true
  }

  /** Everything so far. */
  all(): CompletionOutput {
    return this.#output(this.#text.slice(0, this.#numShown()), this.#tokenIds.slice(), this.#logprobs?.slice() ?? null)
  }

  /** What is new since the last call. */
  delta(): CompletionOutput {
    const numShown = this.#numShown()
    const text = this.#text.slice(this.#numTextTaken, numShown)
    const from = this.#numTokensTaken
    this.#numTextTaken = Math.max(this.#numTextTaken, numShown)
    this.#numTokensTaken = this.#tokenIds.length
    this.#hasChanged = false
    return this.#output(text, this.#tokenIds.slice(from), this.#logprobs?.slice(from) ?? null)
  }

  #addToken(tokenId: number, { logprobs }: SequenceUpdate, i: number): void {
    this.#tokenIds.push(tokenId)
    const entry = logprobs?.[i]
    if (entry === undefined || this.#logprobs === null) return
    // What is held back of the prompt's last character is this text's first.
    const textOffset =
      this.#tokenIds.length === 1 ? 0 : this.#numCodePoints + (this.#detokenizer?.heldBefore(tokenId) ?? 0)
    this.#logprobs.push({ ...this.#decoder.decode(entry), textOffset })
    this.#cumulativeLogprob += entry.chosen.logprob
  }

  /** Returns true if the text now holds a stop string, and is cut there. */
  #addText(text: string): boolean {
    this.#text += text
    if (this.#logprobs !== null) this.#numCodePoints += countCodePoints(text)
    const { minTokens, includeStopStrInOutput } = this.#params
    if (this.#tokenIds.length <= minTokens) {
      this.#stopMatcher.pass(text)
      return false
    }
    const match = this.#stopMatcher.push(text)
    if (match === null) return false
    this.#text = this.#text.slice(0, includeStopStrInOutput ? match.end : match.start)
    this.#finishReason = 'stop'
    this.#stopReason = match.stop
    return true
  }

  #numShown(): number {
    return this.isFinished ? this.#text.length : this.#text.length - this.#stopMatcher.heldBackLength
  }

  #output(text: string, tokenIds: number[], logprobs: OutputTokenLogprobs[] | null): CompletionOutput {
    return {
      index: this.index,
      text,
      tokenIds,
      logprobs,
      cumulativeLogprob: this.#logprobs === null ? null : this.#cumulativeLogprob,
      finishReason: this.#finishReason,
      stopReason: this.#stopReason,
    }
  }
}
