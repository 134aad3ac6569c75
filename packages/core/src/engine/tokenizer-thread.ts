import { TokenizerError } from '../errors.ts'
import { JobThread } from './job-thread.ts'
import type { TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

export interface TokenizerThreadOptions {
  readonly modelPath: string
  /** What one text may take, beside a millisecond per thousand characters. */
  readonly encodeTimeoutMs?: number | undefined
}

const defaultEncodeTimeoutMs = 10_000
const charsPerMs = 1000

/** Encodes texts one after another in a thread of its own. */
export class TokenizerThread {
  readonly #thread: JobThread<ToTokenizer, Int32Array>

  constructor({ modelPath, encodeTimeoutMs = defaultEncodeTimeoutMs }: TokenizerThreadOptions) {
    this.#thread = new JobThread({
      entry: 'tokenizer-worker',
      name: 'octavo-tokenizer',
      workerData: { modelPath } satisfies TokenizerThreadData,
      timeoutMsOf: ({ text }) => encodeTimeoutMs + Math.ceil(text.length / charsPerMs),
      lateError: ({ text }, timeoutMs) =>
        new TokenizerError(
          `The text (${text.length} characters) was not tokenized within ${timeoutMs} ms: this tokenizer's patterns take too long on it. Shorten the text, or pass token ids.`,
        ),
      lostError: (startTimeoutMs) =>
        new TokenizerError(
          startTimeoutMs === null
            ? 'The thread that tokenizes long texts ended; send the text again.'
            : `The tokenizer of ${modelPath} was not loaded within ${startTimeoutMs} ms.`,
        ),
    })
  }

  /** @throws TokenizerError naming the limit where the text takes longer */
  async encode(
    text: string,
    { addSpecialTokens, signal }: Omit<ToTokenizer, 'text'> & { signal?: AbortSignal },
  ): Promise<number[]> {
    return Array.from(await this.#thread.run({ text, addSpecialTokens }, signal))
  }

  close(): Promise<void> {
    return this.#thread.close()
  }
}
