import type { CompletionOutput, MessageDelta, OutputTokenLogprobs } from '@octavo/core'

/**
 * Tells the tokens of the thinking from those of the answer. Text comes behind its tokens (markup is no text, and what may
 * be a stop string is held back), so tokens wait for the text that follows them; where one output has both kinds of text
 * they are shared by its length.
 */
export class TokenKinds {
  #numReasoningTokens = 0
  #isThinking = false
  #numWaiting = 0
  #logprobs: OutputTokenLogprobs[] = []

  /** Of the tokens so far, those that belong to the thinking. */
  get numReasoningTokens(): number {
    return this.#numReasoningTokens + (this.#isThinking ? this.#numWaiting : 0)
  }

  /** What a delta has told. @returns the logprobs of the tokens of its content */
  add(
    { tokenIds, logprobs }: CompletionOutput,
    { reasoning, content, toolCalls }: MessageDelta,
  ): OutputTokenLogprobs[] {
    const calls = toolCalls.map(({ name, arguments: text }) => (name ?? '') + text).join('')
    const numAnswered = content.length + calls.length
    // What came behind the last of the thinking, and is no text of the answer, is the markup that ended it.
    if (this.#isThinking && reasoning === '' && numAnswered > 0) this.#endThinking()
    this.#numWaiting += tokenIds.length
    this.#logprobs.push(...(logprobs ?? []))
    if (reasoning === '' && numAnswered === 0) return []
    const numThought = Math.round((this.#numWaiting * reasoning.length) / (reasoning.length + numAnswered))
    const ofContent = content === '' ? [] : this.#logprobs.slice(numThought)
    this.#numReasoningTokens += numThought
    this.#numWaiting = 0
    this.#logprobs = []
    this.#isThinking = numAnswered === 0
    return ofContent
  }

  #endThinking(): void {
    this.#numReasoningTokens += this.#numWaiting
    this.#numWaiting = 0
    this.#logprobs = []
    this.#isThinking = false
  }
}
