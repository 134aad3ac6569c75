import type { ThinkingLimit } from '../sampling-params.ts'

/** How much an output has thought, and which token must come next for it to think no longer. */
export class ThinkingTracker {
  readonly #limit: ThinkingLimit
  #numSeen = 0
  /** Output tokens before the thinking that is open; `null` if none is. */
  #openedAt: number | null = null
  /** Tokens of thinking that has ended, its end markers not among them. */
  #numEnded = 0

  constructor(limit: ThinkingLimit) {
    this.#limit = limit
    this.#reset()
  }

  /** The token of the end marker that must follow `tokenIds` (prompt, then output); `null` = any may. */
  forcedToken(tokenIds: readonly number[], numPromptTokens: number): number | null {
    const { endTokenIds, maxTokens } = this.#limit
    const numOutput = tokenIds.length - numPromptTokens
    if (numOutput < this.#numSeen) this.#reset()
    while (this.#numSeen < numOutput) this.#take(tokenIds, numPromptTokens)
    if (this.#openedAt === null) return null
    const thought: Span = { tokenIds, start: numPromptTokens + this.#openedAt, end: tokenIds.length }
    // An end that the model has begun by itself is gone on with.
    let numMatched = Math.min(endTokenIds.length - 1, numOutput - this.#openedAt)
    while (numMatched > 0 && !endsWith(thought, endTokenIds, numMatched)) numMatched--
    const numThought = this.#numEnded + numOutput - this.#openedAt - numMatched
    return numThought < maxTokens ? null : (endTokenIds[numMatched] ?? null)
  }

  #reset(): void {
    this.#numSeen = 0
    this.#numEnded = 0
    this.#openedAt = this.#limit.isOpen ? 0 : null
  }

  #take(tokenIds: readonly number[], numPromptTokens: number): void {
    const { startTokenIds, endTokenIds } = this.#limit
    const end = numPromptTokens + ++this.#numSeen
    if (this.#openedAt === null) {
      const output = { tokenIds, start: numPromptTokens, end }
      if (startTokenIds.length > 0 && endsWith(output, startTokenIds, startTokenIds.length))
        this.#openedAt = this.#numSeen
      return
    }
    const thought = { tokenIds, start: numPromptTokens + this.#openedAt, end }
    if (!endsWith(thought, endTokenIds, endTokenIds.length)) return
    this.#numEnded += this.#numSeen - this.#openedAt - endTokenIds.length
    this.#openedAt = null
  }
}

interface Span {
  readonly tokenIds: readonly number[]
  readonly start: number
  readonly end: number
}

/** Whether the span ends with the first `count` of `marker`. */
function endsWith({ tokenIds, start, end }: Span, marker: readonly number[], count: number): boolean {
  const at = end - count
  if (at < start) return false
  for (let i = 0; i < count; i++) if (tokenIds[at + i] !== marker[i]) return false
  return true
}
