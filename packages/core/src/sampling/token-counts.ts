import { assert } from '../util/assert.ts'

/**
 * The tokens that a growing sequence has, each once, with how often they are in its output. Counting anew for each token
 * would cost a long sequence more than the draw itself.
 */
export class TokenCounts {
  readonly #indexOf = new Map<number, number>()
  #tokenIds = new Int32Array(64)
  #counts = new Int32Array(64)
  #numCounted = 0

  /** Takes in what `tokenIds` (prompt, then output) gained since the last call. The arrays hold until the next one. */
  update(tokenIds: readonly number[], numPromptTokens: number): { tokenIds: Int32Array; counts: Int32Array } {
    assert(tokenIds.length >= this.#numCounted, 'a sequence lost tokens')
    for (; this.#numCounted < tokenIds.length; this.#numCounted++) {
      const index = this.#place(tokenIds[this.#numCounted]!)
      if (this.#numCounted >= numPromptTokens) this.#counts[index] = this.#counts[index]! + 1
    }
    const size = this.#indexOf.size
    return { tokenIds: this.#tokenIds.subarray(0, size), counts: this.#counts.subarray(0, size) }
  }

  #place(tokenId: number): number {
    const known = this.#indexOf.get(tokenId)
    if (known !== undefined) return known
    const index = this.#indexOf.size
    if (index === this.#tokenIds.length) {
      this.#tokenIds = grown(this.#tokenIds)
      this.#counts = grown(this.#counts)
    }
    this.#indexOf.set(tokenId, index)
    this.#tokenIds[index] = tokenId
    return index
  }
}

function grown(values: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * values.length)
  larger.set(values)
  return larger
}
