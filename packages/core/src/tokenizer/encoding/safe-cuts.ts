interface Merge {
  readonly left: string
  readonly right: string
}

const numBits = 2 ** 20

/**
 * Where a long word may be cut without changing its tokens: between two characters at which no merge joins anything, so
 * that none reaches across, if both are tokens themselves, so that no run of unknown ones does, nor a merge across one that
 * is left out. SentencePiece vocabularies, which have no words before merging, fall into words this way.
 */
export class SafeCuts {
  /** The UTF-16 units at which merges join, hashed to a bit per pair: a collision is a cut less. */
  readonly #joints = new Uint8Array(numBits / 8)
  readonly #known = new Uint8Array(65_536)
  readonly #isPossible: boolean

  constructor(idOf: ReadonlyMap<string, number>, merges: readonly Merge[]) {
    for (const token of idOf.keys()) if (isOneUnit(token)) this.#known[token.charCodeAt(0)] = 1
    let isPossible = true
    for (const { left, right } of merges) {
      // A merge of unknown or byte tokens is about other characters than those of its text.
      if (isStandIn(left) || isStandIn(right)) isPossible = false
      const bit = bitOf(left.charCodeAt(left.length - 1), right.charCodeAt(0))
      this.#joints[bit >> 3]! |= 1 << (bit & 7)
    }
    this.#isPossible = isPossible
  }

  /** The first cut at `from` or after it; the word's length where there is none. */
  next(word: string, from: number): number {
    if (!this.#isPossible) return word.length
    let before = word.charCodeAt(from - 1)
    for (let at = from; at < word.length; at++) {
      const unit = word.charCodeAt(at)
      const bit = bitOf(before, unit)
      if (this.#known[before] === 1 && this.#known[unit] === 1 && (this.#joints[bit >> 3]! & (1 << (bit & 7))) === 0)
        return at
      before = unit
    }
    return word.length
  }
}

function bitOf(before: number, unit: number): number {
  return (Math.imul(before, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) >>> 12
}

function isStandIn(token: string): boolean {
  return token.length > 2 && token.startsWith('<') && token.endsWith('>')
}

/** A character that is no half of another. */
export function isOneUnit(token: string): boolean {
  return token.length === 1 && (token.charCodeAt(0) & 0xf800) !== 0xd800
}
