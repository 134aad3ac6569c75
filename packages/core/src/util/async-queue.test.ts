import { describe, expect, it } from 'vitest'
import { AsyncQueue } from './async-queue.ts'

const queueOfLists = (): AsyncQueue<number[]> => new AsyncQueue((pending, next) => [...pending, ...next])

describe('AsyncQueue', () => {
  it('gives items in order, before and after they are waited for', async () => {
    const queue = queueOfLists()
    queue.push([1])
    const later = setTimeout(() => {
      queue.push([2])
      setTimeout(() => {
        queue.push([3])
        queue.close()
        queue.push([4])
      }, 1)
    }, 1)
    const got: number[][] = []
    for await (const item of queue) got.push(item)
    clearTimeout(later)
    expect(got).toEqual([[1], [2], [3]])
  })

  it('merges what comes while nobody reads', async () => {
    const queue = queueOfLists()
    for (let i = 0; i < 5; i++) queue.push([i])
    queue.close()
    expect(await queue.next()).toEqual({ done: false, value: [0, 1, 2, 3, 4] })
    expect(await queue.next()).toEqual({ done: true, value: undefined })
  })

  it('throws what it was closed with, after the items', async () => {
    const queue = queueOfLists()
    queue.push([1])
    queue.close(new Error('gone'))
    expect(await queue.next()).toEqual({ done: false, value: [1] })
    await expect(queue.next()).rejects.toThrow('gone')
  })
})
