import { TokenizerError } from '../errors.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { TokenizerThread, type TokenizerThreadOptions } from './tokenizer-thread.ts'

export interface EncodeTextOptions {
  readonly addSpecialTokens: boolean
  readonly signal?: AbortSignal
}

/** Text → token ids without holding up the front thread, and with it every other request. */
export interface PromptEncoder {
  encode(text: string, options: EncodeTextOptions): number[] | Promise<number[]>
  /** As `Tokenizer.encodePair`. */
  encodePair(text: string, pair: string, options: EncodeTextOptions): EncodedTexts | Promise<EncodedTexts>
  close(): Promise<void>
}

export type EncodedTexts = ReturnType<Tokenizer['encodePair']>

/** So much takes about a millisecond; another thread is not worth its latency. */
const maxFrontLength = 4096
/** What patterns that backtrack without bound show themselves by. */
const probes = [
  `${'a'.repeat(80)}!`,
  `${'1'.repeat(80)}x`,
  `${' '.repeat(80)}x`,
  `${'a1 '.repeat(40)}!`,
  'é中-_'.repeat(20),
]

/** Short texts are encoded here, long ones and all of a tokenizer with unpredictable patterns in a thread of their own. */
export class ThreadedPromptEncoder implements PromptEncoder {
  readonly #tokenizer: Tokenizer
  readonly #thread: TokenizerThread

  constructor(tokenizer: Tokenizer, options: TokenizerThreadOptions) {
    this.#tokenizer = tokenizer
    this.#thread = new TokenizerThread(options)
  }

  encode(text: string, { addSpecialTokens, signal }: EncodeTextOptions): number[] | Promise<number[]> {
    if (text.length <= maxFrontLength && this.#isPredictable) return this.#tokenizer.encode(text, { addSpecialTokens })
    return this.#thread.encode(text, { addSpecialTokens, ...(signal && { signal }) })
  }

  encodePair(text: string, pair: string, options: EncodeTextOptions): EncodedTexts | Promise<EncodedTexts> {
    const { addSpecialTokens, signal } = options
    if (text.length + pair.length <= maxFrontLength && this.#isPredictable)
      return this.#tokenizer.encodePair(text, pair, { addSpecialTokens })
    return this.#thread.encodePair(text, pair, { addSpecialTokens, ...(signal && { signal }) })
  }

  /** @throws TokenizerError where the tokenizer's patterns do not come to an end on texts of a line */
  async check(): Promise<void> {
    if (this.#isPredictable) return
    try {
      for (const probe of probes) await this.#thread.encode(probe, { addSpecialTokens: true })
    } catch (error) {
      await this.close()
      throw new TokenizerError(`tokenizer.json has patterns that take too long: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  get #isPredictable(): boolean {
    return this.#tokenizer.isPredictable ?? true
  }
}

/** A tokenizer of the program's own cannot cross to a thread. */
export function createFrontEncoder(tokenizer: Tokenizer): PromptEncoder {
  return {
    encode: (text, { addSpecialTokens }) => tokenizer.encode(text, { addSpecialTokens }),
    encodePair: (text, pair, { addSpecialTokens }) => tokenizer.encodePair(text, pair, { addSpecialTokens }),
    close: async () => {},
  }
}
