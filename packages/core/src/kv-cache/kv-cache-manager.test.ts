import { describe, expect, it } from 'vitest'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest, type TestRequestOptions, tokenRange } from '../sequence/sequence-request.case.ts'
import { type KvCacheConfig, KvCacheManager } from './kv-cache-manager.ts'

function createManager(overrides: Partial<KvCacheConfig> = {}): KvCacheManager {
  return new KvCacheManager({
    numBlocks: 11,
    blockSize: 16,
    enablePrefixCaching: true,
    prefixCacheSeed: null,
    ...overrides,
  })
}

function createSequence(id: string, promptTokenIds: number[], options: TestRequestOptions = {}): Sequence {
  return new Sequence(testRequest(id, { promptTokenIds, ...options }))
}

/** Admits the sequence whole and takes its step as done. */
function admit(manager: KvCacheManager, sequence: Sequence): number {
  const computed = manager.getComputedBlocks(sequence)
  const slots = manager.allocateSlots(sequence, sequence.numTokens - computed.numTokens, { computed })
  expect(slots).not.toBeNull()
  sequence.numComputedTokens = sequence.numTokens
  manager.checkIntegrity()
  return computed.numTokens
}

/** Computes the last token and appends the next one. */
function decode(
  manager: KvCacheManager,
  sequence: Sequence,
  token: number,
): ReturnType<KvCacheManager['allocateSlots']> {
  sequence.appendOutputToken(token)
  const slots = manager.allocateSlots(sequence, 1)
  if (slots !== null) sequence.numComputedTokens++
  manager.checkIntegrity()
  return slots
}

describe('prefix caching', () => {
  it('shares full blocks of a common prefix, also with those still running', () => {
    const manager = createManager()
    const common = tokenRange(0, 48)
    const a = createSequence('a', [...common, ...tokenRange(1, 7)])
    expect(admit(manager, a)).toBe(0)
    expect(manager.blockIds(a)).toEqual([1, 2, 3, 4])

    const b = createSequence('b', [...common, ...tokenRange(2, 5)])
    expect(admit(manager, b)).toBe(48)
    expect(manager.blockIds(b)).toEqual([1, 2, 3, 5])

    manager.free(a)
    manager.free(b)
    expect(manager.numFreeBlocks).toBe(10)
    // The unnamed last block of b is reused before anything else.
    const c = createSequence('c', [...common, ...tokenRange(3, 5)])
    expect(admit(manager, c)).toBe(48)
    expect(manager.blockIds(c)).toEqual([1, 2, 3, 5])
    expect(manager.prefixCacheStats).toEqual({ queries: 55 + 53 + 53, hits: 96 })
  })

  it('leaves the last token to compute, even if the whole prompt is cached', () => {
    const manager = createManager()
    const a = createSequence('a', tokenRange(0, 32))
    admit(manager, a)
    const b = createSequence('b', tokenRange(0, 32))
    expect(manager.getComputedBlocks(b).numTokens).toBe(16)
    expect(manager.getComputedBlocks(createSequence('c', tokenRange(0, 33))).numTokens).toBe(32)
    expect(manager.getComputedBlocks(createSequence('d', tokenRange(0, 16))).numTokens).toBe(0)
    expect(admit(manager, b)).toBe(16)
    expect(manager.blockIds(b)).toEqual([1, 3])
  })

  it('finds blocks that were filled while decoding', () => {
    const manager = createManager()
    const a = createSequence('a', tokenRange(0, 30))
    admit(manager, a)
    decode(manager, a, 500)
    expect(manager.getComputedBlocks(createSequence('b', [...tokenRange(0, 30), 500, 501, 502])).numTokens).toBe(16)
    decode(manager, a, 501)
    expect(manager.getComputedBlocks(createSequence('b', [...tokenRange(0, 30), 500, 501, 502])).numTokens).toBe(32)
    expect(manager.getComputedBlocks(createSequence('c', [...tokenRange(0, 30), 500, 999, 502])).numTokens).toBe(16)
    expect(decode(manager, a, 502)?.newBlockIds).toEqual([3])
  })

  it('evicts a sequence from its tail, the least recently used sequence first', () => {
    const manager = createManager({ numBlocks: 7 })
    const [a, b] = [createSequence('a', tokenRange(0, 48)), createSequence('b', tokenRange(1, 48))]
    admit(manager, a)
    admit(manager, b)
    manager.free(a)
    manager.free(b)
    const c = createSequence('c', tokenRange(2, 17))
    admit(manager, c)
    expect(manager.getComputedBlocks(createSequence('a2', tokenRange(0, 49))).numTokens).toBe(16)
    expect(manager.getComputedBlocks(createSequence('b2', tokenRange(1, 49))).numTokens).toBe(48)
  })

  it('does not evict what it is about to share', () => {
    const manager = createManager({ numBlocks: 4 })
    const a = createSequence('a', tokenRange(0, 33))
    admit(manager, a)
    manager.free(a)
    const b = createSequence('b', [...tokenRange(0, 32), ...tokenRange(1, 16)])
    expect(admit(manager, b)).toBe(32)
    expect(manager.blockIds(b)).toEqual([1, 2, 3])
    manager.free(b)
    // Three blocks are free, two of them wanted themselves: there is room for one more, not for two.
    const c = createSequence('c', [...tokenRange(0, 32), ...tokenRange(2, 17)])
    expect(manager.allocateSlots(c, 17, { computed: manager.getComputedBlocks(c) })).toBeNull()
    manager.checkIntegrity()
    expect(manager.getComputedBlocks(c).numTokens).toBe(32)
  })

  it('keeps tenants apart by salt', () => {
    const manager = createManager()
    admit(manager, createSequence('a', tokenRange(0, 40), { cacheSalt: 'x' }))
    expect(manager.getComputedBlocks(createSequence('b', tokenRange(0, 40), { cacheSalt: 'y' })).numTokens).toBe(0)
    expect(manager.getComputedBlocks(createSequence('c', tokenRange(0, 40))).numTokens).toBe(0)
    expect(manager.getComputedBlocks(createSequence('d', tokenRange(0, 40), { cacheSalt: 'x' })).numTokens).toBe(32)
  })

  it('is not read where prompt logprobs are wanted, but still written', () => {
    const manager = createManager()
    const params = { promptLogprobs: 0 }
    admit(manager, createSequence('a', tokenRange(0, 40), { params }))
    expect(admit(manager, createSequence('b', tokenRange(0, 40), { params }))).toBe(0)
    expect(manager.getComputedBlocks(createSequence('c', tokenRange(0, 40))).numTokens).toBe(32)
    expect(manager.prefixCacheStats).toEqual({ queries: 0, hits: 0 })
  })

  it('can be off', () => {
    const manager = createManager({ enablePrefixCaching: false })
    const a = createSequence('a', tokenRange(0, 40))
    admit(manager, a)
    expect(manager.getComputedBlocks(createSequence('b', tokenRange(0, 40))).numTokens).toBe(0)
    expect([...manager.cachedBlocks()]).toEqual([])
    expect(a.blockHashes).toEqual([])
  })

  it('forgets blocks that were to be filled by a step which did not come', () => {
    const manager = createManager()
    const a = createSequence('a', tokenRange(0, 48))
    manager.allocateSlots(a, 20)
    a.numComputedTokens = 20
    manager.allocateSlots(a, 28)
    expect(manager.getComputedBlocks(createSequence('b', tokenRange(0, 49))).numTokens).toBe(48)
    manager.free(a)
    manager.checkIntegrity()
    expect(manager.getComputedBlocks(createSequence('b', tokenRange(0, 49))).numTokens).toBe(16)
  })
})

describe('allocateSlots', () => {
  it('gives a block when the last one is full', () => {
    const manager = createManager({ numBlocks: 4, blockSize: 4 })
    const a = createSequence('a', tokenRange(0, 7))
    expect(manager.allocateSlots(a, 7)).toEqual({ newBlockIds: [1, 2], replacedBlocks: [], blockCopies: [] })
    a.numComputedTokens = 7
    expect(decode(manager, a, 1)?.newBlockIds).toEqual([])
    expect(decode(manager, a, 2)?.newBlockIds).toEqual([3])
    expect(manager.usage).toBe(1)
  })

  it('changes nothing where there is no room', () => {
    const manager = createManager({ numBlocks: 4, blockSize: 4 })
    const a = createSequence('a', tokenRange(0, 13))
    expect(manager.allocateSlots(a, 13)).toBeNull()
    expect([manager.blockIds(a), manager.numFreeBlocks]).toEqual([[], 3])
    manager.checkIntegrity()
  })

  it('can ask for more room than it takes', () => {
    const manager = createManager({ numBlocks: 4, blockSize: 4 })
    const a = createSequence('a', tokenRange(0, 13))
    expect(manager.allocateSlots(a, 4, { numTokensToFit: 13 })).toBeNull()
    expect(manager.allocateSlots(a, 4, { numTokensToFit: 12, numBlocksToLeave: 1 })).toBeNull()
    expect(manager.allocateSlots(a, 4, { numTokensToFit: 12 })?.newBlockIds).toEqual([1])
  })
})

describe('fork', () => {
  it('shares all blocks and copies the partly filled one on write', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 7))
    admit(manager, leader)
    const child = createSequence('b', tokenRange(0, 7))
    manager.fork(leader, child, 6)
    child.numComputedTokens = 6
    manager.checkIntegrity()
    expect(manager.blockIds(child)).toEqual([1, 2])
    expect(manager.allocateSlots(child, 1)).toEqual({
      newBlockIds: [],
      replacedBlocks: [{ index: 1, blockId: 3 }],
      blockCopies: [{ from: 2, to: 3 }],
    })
    manager.checkIntegrity()
    // The leader is alone in its block again.
    expect(decode(manager, leader, 1)?.blockCopies).toEqual([])
    expect(manager.blockIds(leader)).toEqual([1, 2])
  })

  it('offers what the child then fills to the prefix cache', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 7))
    admit(manager, leader)
    const child = createSequence('b', tokenRange(0, 7))
    manager.fork(leader, child, 6)
    child.numComputedTokens = 6
    child.appendOutputToken(50)
    manager.allocateSlots(child, 2)
    expect(manager.getComputedBlocks(createSequence('c', [...tokenRange(0, 7), 50, 51])).numTokens).toBe(8)
  })

  it('copies for the leader if that writes first', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 6))
    admit(manager, leader)
    const child = createSequence('b', tokenRange(0, 6))
    manager.fork(leader, child, 5)
    expect(decode(manager, leader, 1)?.blockCopies).toEqual([{ from: 2, to: 3 }])
    expect([manager.blockIds(leader), manager.blockIds(child)]).toEqual([
      [1, 3],
      [1, 2],
    ])
  })

  it('needs a free block for the copy', () => {
    const manager = createManager({ numBlocks: 3, blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 7))
    admit(manager, leader)
    const child = createSequence('b', tokenRange(0, 7))
    manager.fork(leader, child, 6)
    child.numComputedTokens = 6
    expect(manager.allocateSlots(child, 1)).toBeNull()
    manager.free(child)
    manager.checkIntegrity()
    expect(manager.blockIds(leader)).toEqual([1, 2])
  })

  it('keeps shared blocks alive when the leader goes', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 9))
    admit(manager, leader)
    const child = createSequence('b', tokenRange(0, 9))
    manager.fork(leader, child, 8)
    child.numComputedTokens = 8
    manager.free(leader)
    manager.checkIntegrity()
    expect(manager.allocateSlots(child, 1)?.blockCopies).toEqual([])
    expect(manager.blockIds(child).slice(0, 2)).toEqual([1, 2])
  })

  it('takes the name from a block that goes on with other tokens than those it was named for', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 8))
    admit(manager, leader)
    const child = createSequence('b', [...tokenRange(0, 6), 77])
    manager.fork(leader, child, 6)
    child.numComputedTokens = 6
    manager.free(leader)
    expect(manager.getComputedBlocks(createSequence('c', tokenRange(0, 9))).numTokens).toBe(8)
    expect(manager.allocateSlots(child, 1)?.blockCopies).toEqual([])
    expect(manager.getComputedBlocks(createSequence('c', tokenRange(0, 9))).numTokens).toBe(4)
    manager.checkIntegrity()
  })

  it('shares computed tokens only', () => {
    const manager = createManager({ blockSize: 4 })
    const leader = createSequence('a', tokenRange(0, 9))
    manager.allocateSlots(leader, 9)
    expect(() => manager.fork(leader, createSequence('b', tokenRange(0, 9)), 8)).toThrow(/to share/)
  })
})

describe('resetPrefixCache', () => {
  it('lets nothing be found that was computed before, also of sequences that go on', () => {
    const manager = createManager()
    const prompt = tokenRange(0, 40)
    const gone = createSequence('gone', prompt)
    admit(manager, gone)
    manager.free(gone)
    const running = createSequence('running', tokenRange(100, 150))
    admit(manager, running)
    manager.resetPrefixCache()
    manager.checkIntegrity()
    expect([...manager.cachedBlocks()]).toEqual([])
    for (let i = 0; i < 20; i++) decode(manager, running, i)
    expect([...manager.cachedBlocks()]).toEqual([])
    const sample = createSequence('sample', tokenRange(100, 150))
    manager.fork(running, sample, 49)
    sample.numComputedTokens = 49
    manager.allocateSlots(sample, 1)
    sample.numComputedTokens++
    for (let i = 0; i < 20; i++) decode(manager, sample, i)
    expect([...manager.cachedBlocks()]).toEqual([])
    for (const sequence of [running, sample]) manager.free(sequence)
    manager.checkIntegrity()
    const again = createSequence('again', prompt)
    expect(admit(manager, again)).toBe(0)
    expect(manager.getComputedBlocks(createSequence('other', prompt)).numTokens).toBe(32)
  })
})
