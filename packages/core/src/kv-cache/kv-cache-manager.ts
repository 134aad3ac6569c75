import type { Sequence } from '../sequence/sequence.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import type { Block } from './block.ts'
import { type BlockHasherOptions, createRootHash, extendBlockHashes } from './block-hash.ts'
import { BlockPool } from './block-pool.ts'

export interface KvCacheConfig {
  /** The null block included. */
  readonly numBlocks: number
  /** Tokens per block. */
  readonly blockSize: number
  readonly enablePrefixCaching: boolean
  /** Root of the block hashes; `null` = random. Equal seeds give equal hashes in different processes. */
  readonly prefixCacheSeed: string | null
}

/** Blocks found in the prefix cache, not held yet. */
export interface ComputedBlocks {
  readonly blocks: readonly Block[]
  readonly numTokens: number
}

export interface AllocateOptions {
  /** For a sequence without blocks: the cached prefix that it starts from. */
  readonly computed?: ComputedBlocks
  /** Drafts behind all its tokens, which need slots too. */
  readonly numDraftTokens?: number
  /** Refuse unless so many tokens of the sequence would fit, although fewer are allocated now. */
  readonly numTokensToFit?: number
  /** Refuse if fewer blocks than this would be left free. */
  readonly numBlocksToLeave?: number
}

/** What an allocation changed in a sequence's block table. */
export interface AllocatedSlots {
  readonly newBlockIds: readonly number[]
  readonly replacedBlocks: readonly { readonly index: number; readonly blockId: number }[]
  /** Copy before the forward pass, in order. */
  readonly blockCopies: readonly { readonly from: number; readonly to: number }[]
}

interface BlockTable {
  readonly blocks: Block[]
  /** Leading blocks that were offered to the prefix cache, or Infinity: none will be any more. All are full once the plans in flight have returned. */
  numRegistered: number
}

export const noComputedBlocks: ComputedBlocks = Object.freeze({ blocks: [], numTokens: 0 })

/**
 * Accounts for the KV cache: which blocks each sequence holds, and which prefix it can take over.
 *
 * Blocks are registered in the prefix cache when the step that fills them is scheduled, so that a sequence admitted
 * later in the same step, or while that step is in flight, can already share them. That is right because one step is one
 * forward pass, at each layer of which the keys and values of all rows are written before any row attends, and because
 * steps run in their order. A block bears the name of accepted tokens only: those that its sequence has, and no drafts.
 *
 * It also means that whoever takes a scheduled sequence out of a step again must do so before the step shares anything,
 * and through `free`, which takes back the names of blocks that were never filled. Where a step fails, so do all that
 * might have shared its blocks: those in the same step and in the steps in flight behind it.
 */
export class KvCacheManager {
  readonly #config: KvCacheConfig
  readonly #hasher: BlockHasherOptions
  readonly #pool: BlockPool
  readonly #tables = new Map<Sequence, BlockTable>()
  #numQueriedTokens = 0
  #numHitTokens = 0

  constructor(config: KvCacheConfig) {
    this.#config = config
    this.#hasher = { rootHash: createRootHash(config.prefixCacheSeed), blockSize: config.blockSize }
    this.#pool = new BlockPool(config.numBlocks)
  }

  /** Part of the blocks in use, 0 to 1. */
  get usage(): number {
    return this.#pool.usage
  }

  get numFreeBlocks(): number {
    return this.#pool.numFreeBlocks
  }

  /** Tokens that the cache holds at most. */
  get capacity(): number {
    return this.#pool.numUsableBlocks * this.#config.blockSize
  }

  /** Slots of held blocks that no token fills: the last, partly filled block of each sequence. The waste of paging. */
  get numUnfilledSlots(): number {
    let numSlots = 0
    for (const [sequence, { blocks }] of this.#tables)
      numSlots += blocks.length * this.#config.blockSize - sequence.numComputedTokens
    return numSlots
  }

  /** Tokens of first admissions that were looked up, and those of them that were found. */
  get prefixCacheStats(): { readonly queries: number; readonly hits: number } {
    return { queries: this.#numQueriedTokens, hits: this.#numHitTokens }
  }

  blockIds(sequence: Sequence): number[] {
    return (this.#tables.get(sequence)?.blocks ?? []).map((block) => block.blockId)
  }

  /** The longest cached prefix, in full blocks, that leaves at least one token to compute: sampling needs its logits. */
  getComputedBlocks(sequence: Sequence): ComputedBlocks {
    if (!this.#config.enablePrefixCaching || sequence.skipsReadingPrefixCache) return noComputedBlocks
    const { blockSize } = this.#config
    const hashes = extendBlockHashes(sequence, this.#hasher)
    const maxBlocks = Math.floor((sequence.numTokens - 1) / blockSize)
    const blocks: Block[] = []
    for (const hash of hashes.slice(0, maxBlocks)) {
      const block = this.#pool.find(hash)
      if (block === null) break
      blocks.push(block)
    }
    return { blocks, numTokens: blocks.length * blockSize }
  }

  /**
   * Makes room to compute `numNewTokens` more tokens and the drafts behind them, and copies blocks on write that others hold too.
   * @returns what changed, or `null` if there is no room: then nothing changed.
   */
  allocateSlots(sequence: Sequence, numNewTokens: number, options: AllocateOptions = {}): AllocatedSlots | null {
    const { computed = noComputedBlocks, numDraftTokens = 0, numTokensToFit = 0, numBlocksToLeave = 0 } = options
    const { blockSize } = this.#config
    const held = this.#tables.get(sequence)?.blocks ?? []
    assert(held.length === 0 || computed.blocks.length === 0, `sequence ${sequence.id} cannot start twice`)
    const numComputed = sequence.numComputedTokens + computed.numTokens
    const numTokens = numComputed + numNewTokens
    assert(numNewTokens > 0 && numTokens <= sequence.numTokens, `sequence ${sequence.id} has no ${numTokens} tokens`)

    const firstWritten = Math.floor(numComputed / blockSize)
    const numHeld = held.length + computed.blocks.length
    const numToCopy = held.slice(firstWritten).filter((block) => block.refCount > 1).length
    const numToRevive = computed.blocks.filter((block) => block.refCount === 0).length
    const numSlots = numTokens + numDraftTokens
    const numToFit = Math.max(0, ceilDiv(Math.max(numSlots, numTokensToFit), blockSize) - numHeld)
    if (numToCopy + numToRevive + numToFit + numBlocksToLeave > this.#pool.numFreeBlocks) return null

    const table = this.#startTable(sequence, computed)
    const copies = this.#copyOnWrite(table, firstWritten)
    const newBlockIds = this.#grow(table, ceilDiv(numSlots, blockSize))
    this.#registerFullBlocks(sequence, table, Math.floor(numTokens / blockSize))
    return { newBlockIds, ...copies }
  }

  /** Names the blocks that are full now: with drafts that were accepted, for others are named when they are allocated. */
  cacheBlocks(sequence: Sequence): void {
    const table = this.#tables.get(sequence)
    assert(table !== undefined, `sequence ${sequence.id} holds no blocks`)
    this.#registerFullBlocks(sequence, table, Math.floor(sequence.numComputedTokens / this.#config.blockSize))
  }

  /**
   * `child`, which holds nothing yet, shares the blocks behind the first `numTokens` tokens of `leader`, a partly
   * filled last one included. Whoever writes into that one first gets a copy.
   */
  fork(leader: Sequence, child: Sequence, numTokens: number): void {
    const table = this.#tables.get(leader)
    assert(
      table !== undefined && leader.numComputedTokens >= numTokens,
      `sequence ${leader.id} has no ${numTokens} tokens to share`,
    )
    assert(!this.#tables.has(child), `sequence ${child.id} holds blocks already`)
    const shared = table.blocks.slice(0, ceilDiv(numTokens, this.#config.blockSize))
    for (const block of shared) this.#pool.share(block)
    const numRegistered = table.numRegistered === Infinity ? Infinity : Math.floor(numTokens / this.#config.blockSize)
    this.#tables.set(child, { blocks: shared, numRegistered })
  }

  /** Gives all blocks of the sequence back, which is in no plan in flight. `numComputedTokens` must still say what was computed. */
  free(sequence: Sequence): void {
    const table = this.#tables.get(sequence)
    assert(table !== undefined, `sequence ${sequence.id} holds no blocks`)
    assert(sequence.numPlansInFlight === 0, `sequence ${sequence.id} is in flight`)
    const numFilled = Math.floor(sequence.numComputedTokens / this.#config.blockSize)
    for (const block of table.blocks.slice(numFilled, table.numRegistered)) this.#pool.unregister(block)
    this.#pool.release(table.blocks.toReversed())
    this.#tables.delete(sequence)
  }

  /** Nothing that was computed so far will be found again: sequences keep their blocks, and name none of them any more. */
  resetPrefixCache(): void {
    this.#pool.unregisterAll()
    for (const table of this.#tables.values()) table.numRegistered = Infinity
  }

  /** What the prefix cache can find, as [hash, block id]: for tests. */
  cachedBlocks(): IterableIterator<[string, number]> {
    return this.#pool.cachedBlocks()
  }

  /** Asserts the invariants of pool and tables. O(blocks): for tests. */
  checkIntegrity(): void {
    this.#pool.checkIntegrity([...this.#tables.values()].map((table) => table.blocks))
    for (const [sequence, table] of this.#tables) {
      const numNeeded = ceilDiv(sequence.numComputedTokens, this.#config.blockSize)
      assert(
        table.blocks.length >= numNeeded,
        `sequence ${sequence.id} has ${table.blocks.length} of ${numNeeded} blocks`,
      )
      assert(new Set(table.blocks).size === table.blocks.length, `sequence ${sequence.id} holds a block twice`)
    }
  }

  #startTable(sequence: Sequence, computed: ComputedBlocks): BlockTable {
    const existing = this.#tables.get(sequence)
    if (existing !== undefined) return existing
    for (const block of computed.blocks) this.#pool.share(block)
    const table: BlockTable = { blocks: [...computed.blocks], numRegistered: computed.blocks.length }
    this.#tables.set(sequence, table)
    if (this.#config.enablePrefixCaching && !sequence.skipsReadingPrefixCache && sequence.numPreemptions === 0) {
      this.#numQueriedTokens += sequence.numTokens
      this.#numHitTokens += computed.numTokens
    }
    return table
  }

  #copyOnWrite(table: BlockTable, firstWritten: number): Omit<AllocatedSlots, 'newBlockIds'> {
    const replacedBlocks: { index: number; blockId: number }[] = []
    const blockCopies: { from: number; to: number }[] = []
    for (let index = firstWritten; index < table.blocks.length; index++) {
      const block = table.blocks[index]!
      // Only this table holds it, but its name may stem from other tokens, of a sequence that shared it and left.
      if (block.refCount === 1) this.#pool.unregister(block)
      if (block.refCount === 1) continue
      const copy = this.#pool.allocate()
      this.#pool.release([block])
      table.blocks[index] = copy
      replacedBlocks.push({ index, blockId: copy.blockId })
      blockCopies.push({ from: block.blockId, to: copy.blockId })
    }
    return { replacedBlocks, blockCopies }
  }

  #grow(table: BlockTable, numBlocks: number): number[] {
    const newBlockIds: number[] = []
    while (table.blocks.length < numBlocks) {
      const block = this.#pool.allocate()
      table.blocks.push(block)
      newBlockIds.push(block.blockId)
    }
    return newBlockIds
  }

  #registerFullBlocks(sequence: Sequence, table: BlockTable, numFullBlocks: number): void {
    if (!this.#config.enablePrefixCaching) return
    const hashes = extendBlockHashes(sequence, this.#hasher)
    for (let index = table.numRegistered; index < numFullBlocks; index++) {
      this.#pool.register(table.blocks[index]!, hashes[index]!)
    }
    table.numRegistered = Math.max(table.numRegistered, numFullBlocks)
  }
}
