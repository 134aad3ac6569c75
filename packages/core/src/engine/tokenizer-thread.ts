import { TokenizerError } from '../errors.ts'
import { JobThread } from './job-thread.ts'
import type { TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

export interface TokenizerThreadOptions {
  readonly modelPath: string
  /** What one text may take, beside a millisecond per thousand characters. */
  readonly encodeTimeoutMs?: number | undefined
}

type ThreadEncodeOptions = Pick<ToTokenizer, 'addSpecialTokens'> & { readonly signal?: AbortSignal }

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
      timeoutMsOf: (job) => encodeTimeoutMs + Math.ceil(numChars(job) / charsPerMs),
      lateError: (job, timeoutMs) =>
        new TokenizerError(
          `The text (${numChars(job)} characters) was not tokenized within ${timeoutMs} ms: this tokenizer's patterns take too long on it. Shorten the text, or pass token ids.`,
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
  async encode(text: string, { addSpecialTokens, signal }: ThreadEncodeOptions): Promise<number[]> {
    return Array.from(await this.#thread.run({ text, pair: null, addSpecialTokens }, signal))
  }

  /** As `encode`, with the ids of which text a token is of. */
  async encodePair(
    text: string,
    pair: string,
    { addSpecialTokens, signal }: ThreadEncodeOptions,
  ): Promise<{ ids: number[]; typeIds: number[] }> {
    const both = await this.#thread.run({ text, pair, addSpecialTokens }, signal)
    const ids = Array.from(both.subarray(0, both.length / 2))
    return { ids, typeIds: Array.from(both.subarray(ids.length)) }
  }

  close(): Promise<void> {
    return this.#thread.close()
  }
}

function numChars({ text, pair }: ToTokenizer): number {
  return text.length + (pair?.length ?? 0)
}
