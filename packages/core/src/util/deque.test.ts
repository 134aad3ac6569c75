import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Deque } from './deque.ts'

describe('Deque', () => {
  it('is a queue and a stack at both ends', () => {
    const deque = new Deque<string>()
    deque.pushBack('b')
    deque.pushBack('c')
    deque.pushFront('a')
    expect([...deque]).toEqual(['a', 'b', 'c'])
    expect(deque.peekFront()).toBe('a')
    expect(deque.popFront()).toBe('a')
    expect(deque.popBack()).toBe('c')
    expect(deque.size).toBe(1)
  })

  it('says null when empty', () => {
    const deque = new Deque<number>()
    expect([deque.peekFront(), deque.popFront(), deque.popBack()]).toEqual([null, null, null])
  })

  it('behaves like an array under any operations', () => {
    const operation = fc.record({ kind: fc.integer({ min: 0, max: 9 }), value: fc.integer({ min: 0, max: 9 }) })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const deque = new Deque<number>()
        const model: number[] = []
        for (const { kind, value } of operations) {
          if (kind <= 3) {
            deque.pushBack(value)
            model.push(value)
          } else if (kind <= 6) {
            deque.pushFront(value)
            model.unshift(value)
          } else if (kind === 7) expect(deque.popFront()).toBe(model.shift() ?? null)
          else if (kind === 8) expect(deque.popBack()).toBe(model.pop() ?? null)
          else {
            const index = model.indexOf(value)
            if (index >= 0) model.splice(index, 1)
            expect(deque.remove(value)).toBe(index >= 0)
          }
          expect(deque.size).toBe(model.length)
        }
        expect([...deque]).toEqual(model)
      }),
    )
  })
})
