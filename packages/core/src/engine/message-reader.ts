import { joinMessages, type MessageDelta } from '../chat-format/message-delta.ts'
import type { OutputParser } from '../chat-format/output-parser.ts'

export interface MessageReaderOptions {
  readonly parser: OutputParser
  /** Special tokens are no part of the text, and stand between its characters. */
  readonly hidesSpecialTokens: boolean
}

/** A text, and where it begins in the whole. */
export interface TextPart {
  readonly text: string
  readonly start: number
}

/**
 * Hands a sample's text to its parser as far as it may be shown, special tokens in their places. Positions are those of
 * the text that stop strings are looked for in.
 */
export class MessageReader {
  readonly #parser: OutputParser
  readonly #hidesSpecialTokens: boolean
  /** In order, with where they begin; the parser has seen those before `nextToken`. */
  readonly #specialTokens: { readonly text: string; readonly at: number }[] = []
  #nextToken = 0
  /** How much of the text the parser has. */
  #at = 0
  #isFinished = false
  #all: MessageDelta = { reasoning: '', content: '', toolCalls: [] }

  constructor({ parser, hidesSpecialTokens }: MessageReaderOptions) {
    this.#parser = parser
    this.#hidesSpecialTokens = hidesSpecialTokens
  }

  get numHeldCharacters(): number {
    return this.#specialTokens.reduce((total, { text }) => total + text.length, 0)
  }

  addSpecialToken(text: string, at: number): void {
    this.#specialTokens.push({ text, at })
  }

  /** `part` has the text from what was read last up to `end`, but for special tokens in between. */
  read(part: TextPart, end: number): void {
    for (let next = this.#waiting; next !== undefined; next = this.#waiting) {
      const tokenEnd = this.#hidesSpecialTokens ? next.at : next.at + next.text.length
      if (tokenEnd > end) break
      this.#readText(part, next.at)
      this.#parser.push(next.text, true)
      this.#at = tokenEnd
      this.#nextToken++
    }
    this.#readText(part, Math.min(end, this.#waiting?.at ?? end))
    if (this.#waiting === undefined) this.#nextToken = this.#specialTokens.length = 0
  }

  /** No more text comes than up to `end`, to which all was read. */
  finish(end: number): void {
    if (this.#isFinished) return
    this.#isFinished = true
    const cut = this.#waiting
    // A stop string ended inside of it: what is left is no token.
    if (cut !== undefined && cut.at < end) this.#parser.push(cut.text.slice(0, end - cut.at), false)
    this.#at = end
    this.#nextToken = this.#specialTokens.length = 0
    this.#parser.finish()
  }

  takeDelta(): MessageDelta {
    return this.#parser.take()
  }

  /** Everything so far. */
  takeAll(): MessageDelta {
    this.#all = joinMessages([this.#all, this.#parser.take()])
    return this.#all
  }

  get #waiting(): { readonly text: string; readonly at: number } | undefined {
    return this.#specialTokens[this.#nextToken]
  }

  #readText({ text, start }: TextPart, end: number): void {
    if (end <= this.#at) return
    this.#parser.push(text.slice(this.#at - start, end - start), false)
    this.#at = end
  }
}
