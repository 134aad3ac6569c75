interface Merge {
  readonly left: string
  readonly right: string
}

/**
 * Where a long word may be cut without changing its tokens: between two characters that never stand side by side inside
 * a merged token, so that no merge reaches across, if the second is a token itself, so that no run of unknown ones does.
 * SentencePiece vocabularies, which have no words before merging, fall into words this way.
 */
export class SafeCuts {
  /** Pairs of UTF-16 units inside merged tokens, by their first one. */
  readonly #neighbours = new Map<number, Set<number>>()
  readonly #known = new Uint8Array(65_536)
  readonly #isPossible: boolean

  constructor(idOf: ReadonlyMap<string, number>, merges: readonly Merge[]) {
    for (const token of idOf.keys()) if (token.length === 1) this.#known[token.charCodeAt(0)] = 1
    // A merge of unknown or byte tokens is about other characters than those of its text.
    this.#isPossible = merges.every(({ left, right }) => !isStandIn(left) && !isStandIn(right))
    for (const { left, right } of merges) {
      this.#addPairs(left + right)
    }
  }

  /** The first cut at `from` or after it; the word's length where there is none. */
  next(word: string, from: number): number {
    if (!this.#isPossible) return word.length
    for (let at = from; at < word.length; at++) {
      const unit = word.charCodeAt(at)
      if (this.#known[unit] === 1 && !(this.#neighbours.get(word.charCodeAt(at - 1))?.has(unit) ?? false)) return at
    }
    return word.length
  }

  #addPairs(text: string): void {
    for (let i = 1; i < text.length; i++) {
      const before = text.charCodeAt(i - 1)
      let set = this.#neighbours.get(before)
      if (set === undefined) this.#neighbours.set(before, (set = new Set()))
      set.add(text.charCodeAt(i))
    }
  }
}

function isStandIn(token: string): boolean {
  return /^<.+>$/.test(token)
}
