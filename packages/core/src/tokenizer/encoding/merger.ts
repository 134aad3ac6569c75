import type { PairTable } from './pair-table.ts'

/** A rank and a position as one number that sorts by both. */
const positions = 2 ** 27

/**
 * Byte-pair merging in O(n log n): symbols in a linked list, their pairs in a heap, lowest rank first, then leftmost.
 * Entries that a merge has outdated are passed over when they come up, by the same test as in Rust's `tokenizers`.
 */
export class Merger {
  readonly #table: PairTable
  #ids = new Int32Array(256)
  #prev = new Int32Array(256)
  #next = new Int32Array(256)
  #length = 0
  #keys = new Float64Array(1024)
  #joined = new Int32Array(1024)
  #heapSize = 0

  constructor(table: PairTable) {
    this.#table = table
  }

  clear(): void {
    this.#length = 0
  }

  add(id: number): void {
    if (this.#length === this.#ids.length) {
      this.#ids = grown(this.#ids)
      this.#prev = grown(this.#prev)
      this.#next = grown(this.#next)
    }
    this.#ids[this.#length++] = id
  }

  /** Merges what was added, and appends it. */
  run(ids: number[]): void {
    const n = this.#length
    this.#heapSize = 0
    for (let i = 0; i < n; i++) {
      this.#prev[i] = i - 1
      this.#next[i] = i + 1 < n ? i + 1 : -1
    }
    for (let i = 0; i + 1 < n; i++) this.#offer(i, i + 1)
    while (this.#heapSize > 0) this.#mergeFirst()
    for (let i = 0; i !== -1 && i < n; i = this.#next[i]!) ids.push(this.#ids[i]!)
  }

  #mergeFirst(): void {
    const left = this.#keys[0]! % positions
    const joined = this.#joined[0]!
    this.#pop()
    const right = this.#next[left]!
    // Taken by another symbol, or the last one.
    if (this.#ids[left]! < 0 || right === -1) return
    const slot = this.#table.find(this.#ids[left]!, this.#ids[right]!)
    if (slot === null || this.#table.joinedAt(slot) !== joined) return
    this.#ids[left] = joined
    this.#ids[right] = -1
    const after = this.#next[right]!
    this.#next[left] = after
    if (after !== -1) {
      this.#prev[after] = left
      this.#offer(left, after)
    }
    const before = this.#prev[left]!
    if (before !== -1) this.#offer(before, left)
  }

  #offer(left: number, right: number): void {
    const slot = this.#table.find(this.#ids[left]!, this.#ids[right]!)
    if (slot === null) return
    const key = this.#table.rankAt(slot) * positions + left
    if (this.#heapSize === this.#keys.length) {
      const keys = new Float64Array(2 * this.#keys.length)
      keys.set(this.#keys)
      this.#keys = keys
      this.#joined = grown(this.#joined)
    }
    let at = this.#heapSize++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#keys[parent]! <= key) break
      this.#keys[at] = this.#keys[parent]!
      this.#joined[at] = this.#joined[parent]!
      at = parent
    }
    this.#keys[at] = key
    this.#joined[at] = this.#table.joinedAt(slot)
  }

  #pop(): void {
    const size = --this.#heapSize
    const key = this.#keys[size]!
    const joined = this.#joined[size]!
    let at = 0
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && this.#keys[child + 1]! < this.#keys[child]!) child++
      if (this.#keys[child]! >= key) break
      this.#keys[at] = this.#keys[child]!
      this.#joined[at] = this.#joined[child]!
      at = child
    }
    this.#keys[at] = key
    this.#joined[at] = joined
  }
}

function grown(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const result = new Int32Array(2 * array.length)
  result.set(array)
  return result
}
