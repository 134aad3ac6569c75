import type { PairTable } from './pair-table.ts'

/** A rank and a position as one number that sorts by both. */
const positions = 2 ** 27

/** Most words are shorter, and looking through all pairs is less work than a heap. */
const shortLength = 24
const noRank = 2 ** 31 - 1

/**
 * Byte-pair merging, lowest rank first, then leftmost. Long words take O(n log n): symbols in a linked list, their pairs in
 * a heap, where entries that a merge has outdated are passed over when they come up.
 */
export class Merger {
  readonly #table: PairTable
  #ids = new Int32Array(256)
  #prev = new Int32Array(256)
  #next = new Int32Array(256)
  #length = 0
  readonly #ranks = new Int32Array(shortLength)
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
    if (n <= shortLength) return this.#runShort(ids)
    this.#heapSize = 0
    for (let i = 0; i < n; i++) {
      this.#prev[i] = i - 1
      this.#next[i] = i + 1 < n ? i + 1 : -1
    }
    for (let i = 0; i + 1 < n; i++) this.#offer(i, i + 1)
    while (this.#heapSize > 0) this.#mergeFirst()
    for (let i = 0; i !== -1 && i < n; i = this.#next[i]!) ids.push(this.#ids[i]!)
  }

  #runShort(result: number[]): void {
    const ids = this.#ids
    const ranks = this.#ranks
    let n = this.#length
    for (let i = 0; i + 1 < n; i++) ranks[i] = this.#rankOf(i)
    while (n > 1) {
      let first = 0
      for (let i = 1; i + 1 < n; i++) if (ranks[i]! < ranks[first]!) first = i
      if (ranks[first] === noRank) break
      ids[first] = this.#table.joinedAt(this.#table.find(ids[first]!, ids[first + 1]!)!)
      n--
      for (let i = first + 1; i < n; i++) {
        ids[i] = ids[i + 1]!
        ranks[i] = ranks[i + 1]!
      }
      if (first > 0) ranks[first - 1] = this.#rankOf(first - 1)
      if (first + 1 < n) ranks[first] = this.#rankOf(first)
    }
    for (let i = 0; i < n; i++) result.push(ids[i]!)
  }

  #rankOf(left: number): number {
    const slot = this.#table.find(this.#ids[left]!, this.#ids[left + 1]!)
    return slot === null ? noRank : this.#table.rankAt(slot)
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
