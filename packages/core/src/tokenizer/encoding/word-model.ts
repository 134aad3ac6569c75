/** The `model` section of tokenizer.json: a word becomes token ids. */
export interface WordModel {
  /** Appends the ids of a word that is not empty. */
  encode(word: string, ids: number[]): void
}

const maxWords = 32_768
const maxWordLength = 256

/** What was encoded before is remembered, until there is too much of it. */
export class WordCache {
  readonly #encode: (word: string, ids: number[]) => void
  readonly #known = new Map<string, readonly number[]>()

  constructor(encode: (word: string, ids: number[]) => void) {
    this.#encode = encode
  }

  encode(word: string, ids: number[]): void {
    let found = this.#known.get(word)
    if (found === undefined) {
      if (word.length > maxWordLength) return this.#encode(word, ids)
      const fresh: number[] = []
      this.#encode(word, fresh)
      found = fresh
      if (this.#known.size >= maxWords) this.#known.clear()
      this.#known.set(word, found)
    }
    // No spread: a word may have more tokens than a call may have arguments.
    for (let i = 0; i < found.length; i++) ids.push(found[i]!)
  }
}
