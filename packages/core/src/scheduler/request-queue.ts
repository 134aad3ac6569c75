import type { Sequence } from '../sequence/sequence.ts'
import { Deque } from '../util/deque.ts'
import { unreachable } from '../util/assert.ts'
import type { SchedulingPolicy } from './scheduler-config.ts'

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

export function createRequestQueue(policy: SchedulingPolicy): RequestQueue {
  switch (policy) {
    case 'fcfs':
      return new FcfsQueue()
    case 'priority':
      return new PriorityQueue()
    default:
      return unreachable(policy)
  }
}

/** Negative if `a` runs before `b`: lower priority value, then earlier arrival, then earlier insertion. */
export function comparePriority(a: Sequence, b: Sequence): number {
  return a.priority - b.priority || a.arrivalTime - b.arrivalTime || a.ordinal - b.ordinal
}

class FcfsQueue implements RequestQueue {
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

/** Sorted with the next one last, so that taking it is O(1); inserting moves pointers, but compares O(log n) times. */
class PriorityQueue implements RequestQueue {
  readonly #sorted: Sequence[] = []

  get size(): number {
    return this.#sorted.length
  }

  add(sequence: Sequence): void {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (comparePriority(this.#sorted[middle]!, sequence) > 0) low = middle + 1
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
