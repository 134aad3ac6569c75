import { byteFallbackValue } from './byte-level.ts'
import type { DecodeStream } from './tokenizer.ts'
import { countCodePoints, decodeLossy, decodeStrict, incompleteTailLength, replacementChar } from './utf8.ts'

/** A token as a stream sees it; skipped tokens never reach it. */
export interface StreamToken {
  readonly text: string
  readonly bytes: Uint8Array
}

/** As `DecodeStream`, over tokens instead of ids. */
export interface TokenStream {
  push(token: StreamToken): string
  /** How many characters that are not available yet stand before this token; `null`: one that leaves no trace. */
  heldBefore(token: StreamToken | null): number
  flush(): string
  /** All that is decoded so far counts as prompt. A character that the prompt leaves incomplete counts as not decoded. */
  startOutput(): void
}

/** Text that no later token can change, held back while it ends with U+FFFD. */
class HeldText {
  #text = ''
  #endsIncomplete = false

  add(text: string): void {
    this.#text += text
    if (text !== '') this.#endsIncomplete = text.endsWith(replacementChar)
  }

  get length(): number {
    return countCodePoints(this.#text)
  }

  take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }

  takeIfAvailable(): string {
    return this.#endsIncomplete ? '' : this.take()
  }
}

/** Byte-level vocabularies: all that must be remembered is the beginning of a character, at most three bytes. */
export class ByteStream implements TokenStream {
  readonly #held = new HeldText()
  #pending: Uint8Array = new Uint8Array(0)

  push({ bytes }: StreamToken): string {
    const all = new Uint8Array(this.#pending.length + bytes.length)
    all.set(this.#pending)
    all.set(bytes, this.#pending.length)
    const end = all.length - incompleteTailLength(all)
    this.#held.add(decodeLossy(all.subarray(0, end)))
    this.#pending = all.slice(end)
    return this.#pending.length > 0 ? '' : this.#held.takeIfAvailable()
  }

  heldBefore(): number {
    return this.#held.length + (this.#pending.length > 0 ? 1 : 0)
  }

  flush(): string {
    const rest = this.#held.take() + decodeLossy(this.#pending)
    this.#pending = new Uint8Array(0)
    return rest
  }

  startOutput(): void {
    this.#held.take()
  }
}

export interface PieceStreamOptions {
  readonly textOf: (token: string, isFirst: boolean) => string
  readonly hasByteFallback: boolean
  readonly strip: { readonly char: string; readonly count: number } | null
}

/**
 * Vocabularies of pieces, with byte tokens for what they lack. A run of byte tokens is text as a whole or, once any of
 * it is not UTF-8, one U+FFFD per byte; text that was available before the run turned out so stays, and the U+FFFD
 * beyond it follow: D(i) from the end of the available text on.
 */
export class PieceStream implements TokenStream {
  readonly #options: PieceStreamOptions
  readonly #held = new HeldText()
  #isFirst = true
  #numToStrip: number
  #numRunBytes = 0
  #isRunValid = true
  /** Bytes of the run's last character, while it is incomplete. */
  #pending: number[] = []
  /** Complete characters of the run that are not available yet, because they end with a genuine U+FFFD. */
  #runText = ''
  /** UTF-16 units of the run that are available. */
  #numRunUnits = 0

  constructor(options: PieceStreamOptions) {
    this.#options = options
    this.#numToStrip = options.strip?.count ?? 0
  }

  push({ text: token }: StreamToken): string {
    const byte = this.#options.hasByteFallback ? byteFallbackValue(token) : null
    const isFirst = this.#isFirst
    this.#isFirst = false
    if (byte !== null) return this.#pushByte(byte)
    this.#held.add(this.#endRun() + this.#stripped(this.#options.textOf(token, isFirst)))
    return this.#held.takeIfAvailable()
  }

  heldBefore(token: StreamToken | null): number {
    const numChars = countCodePoints(this.#runText)
    const isByte = this.#options.hasByteFallback && token !== null && byteFallbackValue(token.text) !== null
    if (!this.#isRunValid || (token !== null && !isByte))
      return this.#held.length + (this.#isText ? numChars : this.#numWrong)
    return this.#held.length + numChars + (this.#pending.length > 0 ? 1 : 0)
  }

  flush(): string {
    this.#held.add(this.#endRun())
    return this.#held.take()
  }

  startOutput(): void {
    this.#held.take()
    this.#runText = ''
    this.#numRunUnits = this.#numRunBytes - (this.#isRunValid ? this.#pending.length : 0)
  }

  #pushByte(byte: number): string {
    this.#numRunBytes++
    if (!this.#isRunValid) return ''
    this.#pending.push(byte)
    const bytes = Uint8Array.from(this.#pending)
    const char = decodeStrict(bytes)
    if (char === null) {
      this.#isRunValid = incompleteTailLength(bytes) === bytes.length
      return ''
    }
    this.#pending = []
    this.#runText += this.#stripped(char)
    if (this.#runText === '' || this.#runText.endsWith(replacementChar)) return ''
    const text = this.#runText
    this.#runText = ''
    this.#numRunUnits += text.length
    return this.#held.take() + text
  }

  /** Whether the run, if it ends here, is text. */
  get #isText(): boolean {
    return this.#isRunValid && this.#pending.length === 0
  }

  /** How many U+FFFD it is else, beyond its available text. */
  get #numWrong(): number {
    return Math.max(0, this.#numRunBytes - this.#numRunUnits)
  }

  /** The run's text that is not available yet. */
  #endRun(): string {
    const rest = this.#isText ? this.#runText : replacementChar.repeat(this.#numWrong)
    if (!this.#isText) this.#numToStrip = 0
    this.#numRunBytes = 0
    this.#isRunValid = true
    this.#pending = []
    this.#runText = ''
    this.#numRunUnits = 0
    return rest
  }

  #stripped(text: string): string {
    let from = 0
    for (; this.#numToStrip > 0 && from < text.length; from++) {
      if (text[from] !== this.#options.strip?.char) {
        this.#numToStrip = 0
        break
      }
      this.#numToStrip--
    }
    return text.slice(from)
  }
}

/** For decoders that look at all tokens at once (BPEDecoder): quadratic, and never used by a language model. */
export class WholeStream implements TokenStream {
  readonly #decode: (tokens: readonly string[]) => string
  readonly #tokens: string[] = []
  #available = ''

  constructor(decode: (tokens: readonly string[]) => string) {
    this.#decode = decode
  }

  push({ text }: StreamToken): string {
    this.#tokens.push(text)
    const decoded = this.#decode(this.#tokens)
    return decoded.endsWith(replacementChar) ? '' : this.#advance(decoded)
  }

  heldBefore(): number {
    return 0
  }

  flush(): string {
    return this.#advance(this.#decode(this.#tokens))
  }

  startOutput(): void {
    this.#available = this.#decode(this.#tokens)
  }

  #advance(decoded: string): string {
    const text = decoded.slice(this.#available.length)
    this.#available = decoded
    return text
  }
}

/** Gives a stream of tokens the ids it is asked with; tokens that `tokenOf` maps to `null` leave no trace. */
export function createIdStream(stream: TokenStream, tokenOf: (id: number) => StreamToken | null): DecodeStream {
  return {
    push(id) {
      const token = tokenOf(id)
      return token === null ? '' : stream.push(token)
    },
    heldBefore: (id) => stream.heldBefore(tokenOf(id)),
    flush: () => stream.flush(),
  }
}
