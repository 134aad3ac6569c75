import { EngineDeadError, InvalidRequestError } from '../errors.ts'
import { JobThread } from './job-thread.ts'
import type { GrammarInput } from './translate-grammar.ts'

const timeoutMs = 10_000
/** Of translations, which are asked for again and again; characters of inputs and grammars. */
const maxKeptChars = 8_000_000

interface Translation {
  readonly grammar: Promise<string | null>
  numChars: number
}

/** Translates what outputs must be into grammars, without holding up the front thread; the last ones are kept. */
export class GrammarTranslator {
  /** Takes the input as JSON text. */
  readonly #thread: JobThread<string, string | null>
  readonly #kept = new Map<string, Translation>()
  #numKeptChars = 0

  constructor() {
    this.#thread = new JobThread({
      entry: 'grammar-translator-worker',
      name: 'octavo-translator',
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

  /**
   * Requests that are alike share one translation.
   * @throws InvalidRequestError
   */
  translate(input: GrammarInput): Promise<string | null> {
    const key = toJson(input)
    const known = this.#kept.get(key)
    const translation = known ?? { grammar: this.#thread.run(key), numChars: key.length }
    // The last used stands last; the first in the order goes first.
    this.#kept.delete(key)
    this.#kept.set(key, translation)
    if (known === undefined) this.#keep(key, translation)
    return translation.grammar
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  #keep(key: string, translation: Translation): void {
    this.#numKeptChars += translation.numChars
    translation.grammar.then(
      (grammar) => {
        if (this.#kept.get(key) !== translation) return
        translation.numChars += grammar?.length ?? 0
        this.#numKeptChars += grammar?.length ?? 0
        this.#dropOldest()
      },
      () => {
        if (this.#kept.get(key) === translation) this.#drop(key, translation)
      },
    )
    this.#dropOldest()
  }

  #dropOldest(): void {
    for (const [key, translation] of this.#kept) {
      if (this.#numKeptChars <= maxKeptChars) return
      this.#drop(key, translation)
    }
  }

  #drop(key: string, { numChars }: Translation): void {
    this.#kept.delete(key)
    this.#numKeptChars -= numChars
  }
}

/** Types promise what JavaScript does not keep. */
function toJson(input: GrammarInput): string {
  try {
    return JSON.stringify(input)
  } catch (error) {
    throw new InvalidRequestError([{ field: 'structuredOutput' }, ' must be JSON.'], 'structuredOutput', {
      cause: error,
    })
  }
}
