import { assert } from './assert.ts'

/** A double-ended queue over a ring buffer: O(1) at both ends, O(n) removal from the middle. */
export class Deque<T> {
  /** A power of two long; item `i` sits at `(head + i) & (length - 1)`. */
  #ring: (T | undefined)[] = new Array<T | undefined>(8)
  #head = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  pushBack(item: T): void {
    this.#growIfFull()
    this.#ring[this.#slot(this.#size)] = item
    this.#size++
  }

  pushFront(item: T): void {
    this.#growIfFull()
    this.#head = this.#slot(-1)
    this.#ring[this.#head] = item
    this.#size++
  }

  peekFront(): T | null {
    return this.#size === 0 ? null : this.#at(0)
  }

  popFront(): T | null {
    if (this.#size === 0) return null
    const item = this.#at(0)
    this.#ring[this.#head] = undefined
    this.#head = this.#slot(1)
    this.#size--
    return item
  }

  popBack(): T | null {
    if (this.#size === 0) return null
    const item = this.#at(this.#size - 1)
    this.#size--
    this.#ring[this.#slot(this.#size)] = undefined
    return item
  }

  /** Removes the first occurrence of `item`; false if there is none. */
  remove(item: T): boolean {
    for (let i = 0; i < this.#size; i++) {
      if (this.#at(i) !== item) continue
      for (let j = i; j < this.#size - 1; j++) this.#ring[this.#slot(j)] = this.#at(j + 1)
      this.popBack()
      return true
    }
    return false
  }

  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = 0; i < this.#size; i++) yield this.#at(i)
  }

  #slot(index: number): number {
    return (this.#head + index) & (this.#ring.length - 1)
  }

  #at(index: number): T {
    assert(index >= 0 && index < this.#size, `deque index ${index} of ${this.#size}`)
    // A slot inside the size always holds an item, which may itself be `undefined` if T allows it.
    return this.#ring[this.#slot(index)] as T
  }

  #growIfFull(): void {
    if (this.#size < this.#ring.length) return
    const items = [...this]
    this.#ring = items.concat(new Array<T>(items.length))
    this.#head = 0
  }
}
