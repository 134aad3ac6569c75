import { assert } from '../util/assert.ts'
import { Block } from './block.ts'
import type { BlockHash } from './block-hash.ts'
import { FreeBlockQueue } from './free-block-queue.ts'

/**
 * Owns all blocks of the KV cache: who holds them (reference counts), which are free, and which can be found by content.
 *
 * Block 0 is the null block: never handed out, so that padding may point at its slots.
 */
export class BlockPool {
  readonly #blocks: readonly Block[]
  readonly #free = new FreeBlockQueue()
  readonly #cached = new Map<BlockHash, Block>()

  constructor(numBlocks: number) {
    assert(Number.isInteger(numBlocks) && numBlocks >= 2, `a pool of ${numBlocks} blocks has none to hand out`)
    this.#blocks = Array.from({ length: numBlocks }, (_, blockId) => new Block(blockId))
    for (const block of this.#blocks.slice(1)) this.#free.append(block)
  }

  /** Blocks that can be handed out at all: all but the null block. */
  get numUsableBlocks(): number {
    return this.#blocks.length - 1
  }

  /** Free blocks, those included that can still be found by hash. */
  get numFreeBlocks(): number {
    return this.#free.size
  }

  /** Part of the usable blocks that some sequence holds, 0 to 1. */
  get usage(): number {
    return 1 - this.#free.size / this.numUsableBlocks
  }

  find(hash: BlockHash): Block | null {
    return this.#cached.get(hash) ?? null
  }

  /** Hands out the block longest unused, forgetting what it held. The caller has checked `numFreeBlocks`. */
  allocate(): Block {
    const block = this.#free.popHead()
    assert(block !== null, 'allocated from a pool without free blocks')
    assert(block.refCount === 0, `free block ${block.blockId} has ${block.refCount} references`)
    this.unregister(block)
    block.refCount = 1
    return block
  }

  /** One more table holds the block, which may have been free until now. */
  share(block: Block): void {
    if (block.refCount === 0) this.#free.remove(block)
    block.refCount++
  }

  /**
   * One table drops these blocks; pass them last first, so that of one sequence the tail is evicted before the prefix
   * that others are likelier to share. Blocks that nobody can find again are reused before all others.
   */
  release(blocks: Iterable<Block>): void {
    for (const block of blocks) {
      assert(block.refCount > 0, `block ${block.blockId} was released more often than shared`)
      if (--block.refCount > 0) continue
      if (block.hash === null) this.#free.prepend(block)
      else this.#free.append(block)
    }
  }

  /**
   * Makes a full block findable. Of blocks with equal content one has the name: the one in use, else the newer one,
   * which will be evicted later.
   */
  register(block: Block, hash: BlockHash): void {
    assert(block.refCount > 0 && block.hash === null, `block ${block.blockId} cannot be registered`)
    const other = this.#cached.get(hash)
    if (other !== undefined) {
      if (other.refCount > 0) return
      this.unregister(other)
    }
    block.hash = hash
    this.#cached.set(hash, block)
  }

  /** Nobody will find the block any more; those who hold it keep it. */
  unregister(block: Block): void {
    if (block.hash === null) return
    this.#cached.delete(block.hash)
    block.hash = null
  }

  /** As `unregister`, of all blocks. */
  unregisterAll(): void {
    for (const block of this.#cached.values()) block.hash = null
    this.#cached.clear()
  }

  /** What can be found, as [hash, block id]. */
  *cachedBlocks(): IterableIterator<[BlockHash, number]> {
    for (const [hash, block] of this.#cached) yield [hash, block.blockId]
  }

  /**
   * Asserts that no block is lost, free while held, or counted wrongly.
   * @param tables every block table there is.
   */
  checkIntegrity(tables: Iterable<readonly Block[]>): void {
    this.#free.checkIntegrity()
    const refCounts = new Map<Block, number>()
    for (const table of tables) for (const block of table) refCounts.set(block, (refCounts.get(block) ?? 0) + 1)
    const free = new Set(this.#free)
    for (const block of this.#blocks) {
      const { blockId, refCount, hash } = block
      assert(
        refCount === (refCounts.get(block) ?? 0),
        `block ${blockId}: refCount ${refCount}, tables ${refCounts.get(block) ?? 0}`,
      )
      assert(hash === null || this.#cached.get(hash) === block, `block ${blockId} has a name that does not find it`)
      if (blockId === 0) assert(refCount === 0 && hash === null && !free.has(block), 'the null block is in use')
      else
        assert(free.has(block) === (refCount === 0), `block ${blockId}: refCount ${refCount}, free ${free.has(block)}`)
    }
    for (const [hash, block] of this.#cached)
      assert(block.hash === hash, `block ${block.blockId} is found by a wrong name`)
  }
}
