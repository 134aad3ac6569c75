/** Pairs of token ids → what becomes of them: a hash table in flat arrays, as vocabularies have hundreds of thousands. */
export class PairTable {
  readonly #left: Int32Array
  readonly #right: Int32Array
  readonly #rank: Int32Array
  readonly #joined: Int32Array
  readonly #mask: number

  constructor(numPairs: number) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(8, numPairs * 2)))
    this.#mask = size - 1
    this.#left = new Int32Array(size).fill(-1)
    this.#right = new Int32Array(size)
    this.#rank = new Int32Array(size)
    this.#joined = new Int32Array(size)
  }

  /** A pair that is there already gets the new values. */
  set(left: number, right: number, value: { readonly rank: number; readonly joined: number }): void {
    const at = this.#slot(left, right)
    this.#left[at] = left
    this.#right[at] = right
    this.#rank[at] = value.rank
    this.#joined[at] = value.joined
  }

  /** Where `rankAt` and `joinedAt` find the pair; `null` where it is not. */
  find(left: number, right: number): number | null {
    const at = this.#slot(left, right)
    return this.#left[at]! < 0 ? null : at
  }

  rankAt(slot: number): number {
    return this.#rank[slot]!
  }

  joinedAt(slot: number): number {
    return this.#joined[slot]!
  }

  #slot(left: number, right: number): number {
    const hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)
    let at = (hash ^ (hash >>> 15)) & this.#mask
    while (this.#left[at]! >= 0 && (this.#left[at] !== left || this.#right[at] !== right)) at = (at + 1) & this.#mask
    return at
  }
}
