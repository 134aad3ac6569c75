import { describe, expect, it } from 'vitest'
import { BlockPool } from './block-pool.ts'

describe('BlockPool', () => {
  it('keeps block 0 as the null block', () => {
    const pool = new BlockPool(4)
    expect(pool.numUsableBlocks).toBe(3)
    expect([pool.allocate(), pool.allocate(), pool.allocate()].map((block) => block.blockId)).toEqual([1, 2, 3])
    expect(pool.numFreeBlocks).toBe(0)
    expect(pool.usage).toBe(1)
    expect(() => pool.allocate()).toThrow(/without free blocks/)
  })

  it('finds a block by hash until it is handed out again', () => {
    const pool = new BlockPool(3)
    const block = pool.allocate()
    pool.register(block, 'h')
    pool.release([block])
    expect(pool.find('h')).toBe(block)
    expect(pool.allocate().blockId).toBe(2)
    expect(pool.find('h')).toBe(block)
    expect(pool.allocate()).toBe(block)
    expect(pool.find('h')).toBeNull()
    expect(block.hash).toBeNull()
  })

  it('revives a free block, which is then safe from eviction', () => {
    const pool = new BlockPool(3)
    const block = pool.allocate()
    pool.register(block, 'h')
    pool.release([block])
    pool.share(block)
    pool.share(block)
    expect([block.refCount, pool.numFreeBlocks]).toEqual([2, 1])
    pool.allocate()
    expect(pool.find('h')).toBe(block)
    pool.release([block])
    expect(pool.numFreeBlocks).toBe(0)
  })

  it('reuses the least recently freed, but before it whatever nobody can find', () => {
    const pool = new BlockPool(6)
    const [a, b, c, d] = [pool.allocate(), pool.allocate(), pool.allocate(), pool.allocate()]
    pool.register(a, 'a')
    pool.register(b, 'b')
    pool.register(c, 'c')
    pool.release([b])
    pool.release([a])
    pool.release([d])
    pool.release([c])
    expect([1, 2, 3, 4, 5].map(() => pool.allocate().blockId)).toEqual([d.blockId, 5, b.blockId, a.blockId, c.blockId])
  })

  it('gives a name to one of equal blocks: to the one in use, else to the newer', () => {
    const pool = new BlockPool(4)
    const [first, second, third] = [pool.allocate(), pool.allocate(), pool.allocate()]
    pool.register(first, 'h')
    pool.register(second, 'h')
    expect(pool.find('h')).toBe(first)
    pool.release([first])
    pool.register(third, 'h')
    expect(pool.find('h')).toBe(third)
    pool.checkIntegrity([[second], [third]])
  })

  it('forgets a name on demand', () => {
    const pool = new BlockPool(3)
    const block = pool.allocate()
    pool.register(block, 'h')
    expect([...pool.cachedBlocks()]).toEqual([['h', block.blockId]])
    pool.unregister(block)
    expect(pool.find('h')).toBeNull()
    pool.checkIntegrity([[block]])
  })

  it('notices lost, doubly freed and wrongly counted blocks', () => {
    const pool = new BlockPool(3)
    const block = pool.allocate()
    pool.checkIntegrity([[block]])
    expect(() => pool.checkIntegrity([])).toThrow(/refCount 1, tables 0/)
    expect(() => pool.checkIntegrity([[block], [block]])).toThrow(/refCount 1, tables 2/)
    block.refCount = 0
    expect(() => pool.checkIntegrity([])).toThrow(/free false/)
    expect(() => pool.release([block])).toThrow(/more often/)
    block.refCount = 1
    block.hash = 'h'
    expect(() => pool.checkIntegrity([[block]])).toThrow(/name that does not find it/)
  })
})
