/** A parser in the middle of its text: it yields where it needs more. */
export type Step<T> = Generator<void, T>

interface Range {
  readonly from: number
  readonly to: number
}

/**
 * Text that comes in pieces, read as if it were whole: a reader waits (yields) wherever the answer depends on text that
 * has not come yet, so what is read never depends on where pieces end. Positions count from the beginning of all text.
 */
export class PieceReader {
  #text = ''
  /** Position of the first character of `#text`. */
  #base = 0
  #marks: number[] = []
  #specials: Range[] = []
  #hasEnded = false
  at = 0

  push(text: string, isSpecial: boolean): void {
    this.#forget()
    if (isSpecial) this.#specials.push({ from: this.#end, to: this.#end + text.length })
    this.#text += text
  }

  end(): void {
    this.#hasEnded = true
  }

  /** No more text comes. */
  get hasEnded(): boolean {
    return this.#hasEnded
  }

  get #end(): number {
    return this.#base + this.#text.length
  }

  /** What has come and is not read yet. */
  get rest(): string {
    return this.#text.slice(this.at - this.#base)
  }

  get hasRest(): boolean {
    return this.at < this.#end
  }

  slice(from: number, to: number): string {
    return this.#text.slice(from - this.#base, to - this.#base)
  }

  /** Without the special tokens in it. */
  plainSlice(from: number, to: number): string {
    let text = ''
    let at = from
    for (const special of this.#specials) {
      if (special.to <= at || special.from >= to) continue
      text += this.slice(at, Math.max(at, special.from))
      at = Math.min(special.to, to)
    }
    return text + this.slice(at, to)
  }

  /** Text from here on stays, so that one can come back; release in reverse order. */
  mark(): number {
    this.#marks.push(this.at)
    return this.at
  }

  release(): void {
    this.#marks.pop()
  }

  reset(): void {
    this.at = this.#marks.pop() ?? this.at
  }

  /** Waits until there is more text; false where none comes any more. */
  *more(): Step<boolean> {
    const end = this.#end
    while (this.#end === end) {
      if (this.#hasEnded) return false
      yield
    }
    return true
  }

  /** The next character, not taken; empty at the end of the text. */
  *peek(): Step<string> {
    if (!this.hasRest) yield* this.more()
    return this.#text.charAt(this.at - this.#base)
  }

  /** Takes `word` if it comes next. */
  *take(word: string): Step<boolean> {
    for (;;) {
      const { rest } = this
      if (rest.startsWith(word)) {
        this.at += word.length
        return true
      }
      if (!word.startsWith(rest) || !(yield* this.more())) return false
    }
  }

  /** Takes `word` if it comes next, or as much of it as there is at the end of the text. */
  *takeOrCutOff(word: string): Step<boolean> {
    return (yield* this.take(word)) || this.takeCutOff([word])
  }

  /** At the end of the text: what is left may be the beginning of one of the words. It is taken then. */
  takeCutOff(words: readonly string[]): boolean {
    const { rest } = this
    const isCutOff = this.#hasEnded && words.some((word) => word.startsWith(rest))
    if (isCutOff) this.at += rest.length
    return isCutOff
  }

  *skipBlank(): Step<void> {
    for (;;) {
      const { rest } = this
      this.at += rest.length - rest.trimStart().length
      if (this.hasRest || !(yield* this.more())) return
    }
  }

  /** Whether what comes next is a special token, or begins with one. */
  get isAtSpecial(): boolean {
    return this.#specials.some(({ from }) => from === this.at)
  }

  /** White space, and special tokens that stand here. */
  *skipSpecials(): Step<void> {
    for (;;) {
      yield* this.skipBlank()
      const special = this.#specials.find(({ from }) => from === this.at)
      if (special === undefined) return
      this.at = special.to
    }
  }

  /** Takes words in their order, whatever white space is between them; all or none. */
  *takeWords(words: readonly string[]): Step<boolean> {
    this.mark()
    for (const word of words) {
      yield* this.skipBlank()
      if (yield* this.take(word)) continue
      this.reset()
      return false
    }
    this.release()
    return true
  }

  /**
   * Hands text on up to the first of `words`, which is next then; null where the text ends before one comes.
   * @param pass gets the positions of what was passed
   */
  *passUntil(words: readonly string[], pass: (from: number, to: number) => void): Step<string | null> {
    for (;;) {
      const { rest } = this
      const found = firstOf(rest, words)
      const until = found?.index ?? rest.length - heldBack(rest, words)
      if (until > 0) pass(this.at, this.at + until)
      this.at += until
      if (found !== null) return found.word
      if (yield* this.more()) continue
      if (this.hasRest) pass(this.at, this.#end)
      this.at = this.#end
      return null
    }
  }

  #forget(): void {
    const keep = Math.min(this.at, ...this.#marks)
    if (keep === this.#base) return
    this.#text = this.#text.slice(keep - this.#base)
    this.#base = keep
    if (this.#specials.length > 0) this.#specials = this.#specials.filter(({ to }) => to > keep)
  }
}

export function firstOf(text: string, words: readonly string[]): { word: string; index: number } | null {
  let first: { word: string; index: number } | null = null
  for (const word of words) {
    const index = text.indexOf(word)
    if (index === -1) continue
    const isBetter = first === null || index < first.index || (index === first.index && word.length > first.word.length)
    if (isBetter) first = { word, index }
  }
  return first
}

/** How many characters at the end of a text may be the beginning of one of the words. */
function heldBack(text: string, words: readonly string[]): number {
  let longest = 0
  for (const word of words)
    for (let length = Math.min(word.length - 1, text.length); length > longest; length--)
      if (text.endsWith(word.slice(0, length))) longest = length
  return longest
}
