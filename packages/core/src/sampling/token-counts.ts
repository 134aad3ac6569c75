import { assert } from '../util/assert.ts'

/**
 * The tokens that a growing sequence has, each once, with how often they are in its output. Counting anew for each token
 * would cost a long sequence more than the draw itself.
 */
export class TokenCounts {
  readonly #indexOf = new Map<number, number>()
  #tokenIds = new Int32Array(64)
  #counts = new Int32Array(64)
  /** Where the sequence has each token first. */
  #firstPositions = new Int32Array(64)
  #numCounted = 0

  /** Takes in what `tokenIds` (prompt, then output) gained since the last call. The arrays hold until the next one. */
  update(tokenIds: readonly number[], numPromptTokens: number): { tokenIds: Int32Array; counts: Int32Array } {
    assert(tokenIds.length >= this.#numCounted, 'a sequence lost tokens without a cut')
    for (; this.#numCounted < tokenIds.length; this.#numCounted++) {
      const index = this.#place(tokenIds[this.#numCounted]!)
      if (this.#numCounted >= numPromptTokens) this.#counts[index] = this.#counts[index]! + 1
    }
    const size = this.#indexOf.size
    return { tokenIds: this.#tokenIds.subarray(0, size), counts: this.#counts.subarray(0, size) }
  }

  /** Forgets output tokens from position `length` on. `tokenIds` still has them. */
  cutBack(tokenIds: readonly number[], length: number): void {
    while (this.#numCounted > length) {
      const tokenId = tokenIds[--this.#numCounted]!
      const index = this.#indexOf.get(tokenId)
      assert(index !== undefined && this.#counts[index]! > 0, `token ${tokenId} was not counted`)
      this.#counts[index] = this.#counts[index]! - 1
      // Tokens are placed as they come: the one that comes first here is the last that was placed.
      if (this.#firstPositions[index] === this.#numCounted) this.#indexOf.delete(tokenId)
    }
  }

  #place(tokenId: number): number {
    const known = this.#indexOf.get(tokenId)
    if (known !== undefined) return known
    const index = this.#indexOf.size
    if (index === this.#tokenIds.length) {
      this.#tokenIds = grown(this.#tokenIds)
      this.#counts = grown(this.#counts)
      this.#firstPositions = grown(this.#firstPositions)
    }
    this.#indexOf.set(tokenId, index)
    this.#tokenIds[index] = tokenId
    this.#firstPositions[index] = this.#numCounted
    return index
  }
}

function grown(values: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * values.length)
  larger.set(values)
  return larger
}
