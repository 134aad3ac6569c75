import { EngineDeadError, InvalidRequestError } from '../errors.ts'
import { JobThread } from './job-thread.ts'
import type { GrammarInput } from './translate-grammar.ts'

const timeoutMs = 10_000
/** Of translations, which are asked for again and again; characters of inputs and grammars. */
const maxKeptChars = 8_000_000

/** Translates what outputs must be into grammars, without holding up the front thread; the last ones are kept. */
export class GrammarTranslator {
  readonly #thread: JobThread<GrammarInput, string | null>
  readonly #kept = new Map<string, string | null>()
  #numKeptChars = 0

  constructor() {
    this.#thread = new JobThread({
      entry: 'grammar-translator-worker',
      name: 'octavo-grammars',
      timeoutMsOf: () => timeoutMs,
      lateError: () =>
        new InvalidRequestError(
          [
            { field: 'structuredOutput' },
            ` was not translated into a grammar within ${timeoutMs} ms; make schemas and patterns smaller, or offer fewer `,
            { field: 'tools' },
            '.',
          ],
          'structuredOutput',
        ),
      lostError: () => new EngineDeadError('The thread that translates grammars ended; send the request again.'),
    })
  }

  /** @throws InvalidRequestError */
  async translate(input: GrammarInput, signal?: AbortSignal): Promise<string | null> {
    const key = JSON.stringify(input)
    const known = this.#kept.get(key)
    if (known !== undefined) {
      this.#kept.delete(key)
      this.#kept.set(key, known)
      return known
    }
    const grammar = await this.#thread.run(input, signal)
    this.#keep(key, grammar)
    return grammar
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  /** The last used stands last; the first in the order goes first. */
  #keep(key: string, grammar: string | null): void {
    if (this.#kept.has(key)) return
    this.#kept.set(key, grammar)
    this.#numKeptChars += sizeOf(key, grammar)
    for (const [oldKey, old] of this.#kept) {
      if (this.#numKeptChars <= maxKeptChars) return
      this.#kept.delete(oldKey)
      this.#numKeptChars -= sizeOf(oldKey, old)
    }
  }
}

function sizeOf(key: string, grammar: string | null): number {
  return key.length + (grammar?.length ?? 0)
}
