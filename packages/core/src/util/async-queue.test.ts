import { describe, expect, it } from 'vitest'
import { AsyncQueue } from './async-queue.ts'

describe('AsyncQueue', () => {
  it('gives items in order, before and after they are waited for', async () => {
    const queue = new AsyncQueue<number>()
    queue.push(1)
    const later = setTimeout(() => {
      queue.push(2)
      queue.push(3)
      queue.close()
      queue.push(4)
    }, 1)
    const got: number[] = []
    for await (const item of queue) got.push(item)
    clearTimeout(later)
    expect(got).toEqual([1, 2, 3])
  })

  it('throws what it was closed with, after the items', async () => {
    const queue = new AsyncQueue<number>()
    queue.push(1)
    queue.close(new Error('gone'))
    expect(await queue.next()).toEqual({ done: false, value: 1 })
    await expect(queue.next()).rejects.toThrow('gone')
  })
})
