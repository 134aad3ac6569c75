import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Block } from './block.ts'
import { FreeBlockQueue } from './free-block-queue.ts'

const ids = (queue: FreeBlockQueue): number[] => [...queue].map((block) => block.blockId)

describe('FreeBlockQueue', () => {
  it('takes from the head and removes from anywhere', () => {
    const queue = new FreeBlockQueue()
    const [a, b, c, d] = [1, 2, 3, 4].map((blockId) => new Block(blockId))
    queue.append(a!)
    queue.append(b!)
    queue.append(c!)
    queue.prepend(d!)
    expect(ids(queue)).toEqual([4, 1, 2, 3])
    queue.remove(b!)
    expect(queue.popHead()).toBe(d)
    expect(ids(queue)).toEqual([1, 3])
    queue.remove(c!)
    expect(queue.popHead()).toBe(a)
    expect(queue.popHead()).toBeNull()
    expect(queue.size).toBe(0)
  })

  it('refuses to remove a block that is not in it', () => {
    const queue = new FreeBlockQueue()
    queue.append(new Block(1))
    expect(() => queue.remove(new Block(2))).toThrow(/not in the free queue/)
  })

  it('behaves like an array under any operations', () => {
    const operation = fc.tuple(fc.constantFrom('append', 'prepend', 'pop', 'remove'), fc.nat(7))
    fc.assert(
      fc.property(fc.array(operation), (operations) => {
        const queue = new FreeBlockQueue()
        const blocks = Array.from({ length: 8 }, (_, blockId) => new Block(blockId))
        let model: number[] = []
        for (const [kind, id] of operations) {
          const isIn = model.includes(id)
          if (kind === 'pop') expect(queue.popHead()?.blockId).toBe(model.shift())
          else if (kind === 'remove' && isIn) {
            queue.remove(blocks[id]!)
            model = model.filter((other) => other !== id)
          } else if (kind === 'append' && !isIn) {
            queue.append(blocks[id]!)
            model.push(id)
          } else if (kind === 'prepend' && !isIn) {
            queue.prepend(blocks[id]!)
            model.unshift(id)
          }
          queue.checkIntegrity()
          expect(ids(queue)).toEqual(model)
        }
      }),
    )
  })
})
