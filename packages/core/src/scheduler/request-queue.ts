import type { Sequence } from '../sequence/sequence.ts'
import { Deque } from '../util/deque.ts'

/** Sequences that wait to run, next one first. */
export interface RequestQueue extends Iterable<Sequence> {
  readonly size: number
  add(sequence: Sequence): void
  /** Puts a sequence back that had been taken out: ahead of all others where order is that of arrival. */
  prepend(sequence: Sequence): void
  peek(): Sequence | null
  pop(): Sequence | null
  /** False if it is not here. */
  remove(sequence: Sequence): boolean
}

/** In the order of arrival. */
export class FcfsQueue implements RequestQueue {
  readonly #deque = new Deque<Sequence>()

  get size(): number {
    return this.#deque.size
  }

  add(sequence: Sequence): void {
    this.#deque.pushBack(sequence)
  }

  prepend(sequence: Sequence): void {
    this.#deque.pushFront(sequence)
  }

  peek(): Sequence | null {
    return this.#deque.peekFront()
  }

  pop(): Sequence | null {
    return this.#deque.popFront()
  }

  remove(sequence: Sequence): boolean {
    return this.#deque.remove(sequence)
  }

  [Symbol.iterator](): IterableIterator<Sequence> {
    return this.#deque[Symbol.iterator]()
  }
}

/**
 * Whatever `compare` puts first. Sorted with the next one last, so that taking it is O(1); inserting moves pointers, but
 * compares O(log n) times.
 */
export class SortedQueue implements RequestQueue {
  readonly #sorted: Sequence[] = []
  readonly #compare: (a: Sequence, b: Sequence) => number

  /** `compare`: negative if `a` runs before `b`; never 0 for two sequences. */
  constructor(compare: (a: Sequence, b: Sequence) => number) {
    this.#compare = compare
  }

  get size(): number {
    return this.#sorted.length
  }

  add(sequence: Sequence): void {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#compare(this.#sorted[middle]!, sequence) > 0) low = middle + 1
      else high = middle
    }
    this.#sorted.splice(low, 0, sequence)
  }

  prepend(sequence: Sequence): void {
    this.add(sequence)
  }

  peek(): Sequence | null {
    return this.#sorted.at(-1) ?? null
  }

  pop(): Sequence | null {
    return this.#sorted.pop() ?? null
  }

  remove(sequence: Sequence): boolean {
    const index = this.#sorted.indexOf(sequence)
    if (index >= 0) this.#sorted.splice(index, 1)
    return index >= 0
  }

  [Symbol.iterator](): IterableIterator<Sequence> {
    return this.#sorted.toReversed()[Symbol.iterator]()
  }
}
