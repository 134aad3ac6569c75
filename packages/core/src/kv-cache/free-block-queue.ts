import { assert } from '../util/assert.ts'
import type { Block } from './block.ts'

/**
 * Free blocks, next to be handed out first: a doubly linked list through the blocks themselves, so that a cached block
 * which is wanted again leaves the middle in O(1).
 *
 *     head                                              tail
 *     nothing worth keeping … least recently used … just freed
 */
export class FreeBlockQueue {
  #head: Block | null = null
  #tail: Block | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  append(block: Block): void {
    block.prevFree = this.#tail
    block.nextFree = null
    if (this.#tail === null) this.#head = block
    else this.#tail.nextFree = block
    this.#tail = block
    this.#size++
  }

  prepend(block: Block): void {
    block.prevFree = null
    block.nextFree = this.#head
    if (this.#head === null) this.#tail = block
    else this.#head.prevFree = block
    this.#head = block
    this.#size++
  }

  popHead(): Block | null {
    const block = this.#head
    if (block !== null) this.remove(block)
    return block
  }

  remove(block: Block): void {
    const { prevFree, nextFree } = block
    assert((prevFree ?? nextFree) !== null || this.#head === block, `block ${block.blockId} is not in the free queue`)
    if (prevFree === null) this.#head = nextFree
    else prevFree.nextFree = nextFree
    if (nextFree === null) this.#tail = prevFree
    else nextFree.prevFree = prevFree
    block.prevFree = null
    block.nextFree = null
    this.#size--
  }

  *[Symbol.iterator](): IterableIterator<Block> {
    for (let block = this.#head; block !== null; block = block.nextFree) yield block
  }

  /** Both directions of the list agree with each other and with the size. */
  checkIntegrity(): void {
    let count = 0
    let previous: Block | null = null
    for (let block = this.#head; block !== null; block = block.nextFree) {
      assert(block.prevFree === previous, `free queue: block ${block.blockId} has a wrong back link`)
      assert(++count <= this.#size, 'free queue: more links than blocks')
      previous = block
    }
    assert(this.#tail === previous && count === this.#size, `free queue: ${count} links, size ${this.#size}`)
  }
}
