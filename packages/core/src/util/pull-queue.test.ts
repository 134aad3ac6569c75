import { describe, expect, it } from 'vitest'
import { PullQueue } from './pull-queue.ts'

const setup = () => {
  const held: number[] = []
  const queue = new PullQueue(async () => (held.length === 0 ? null : held.splice(0)))
  const push = (item: number) => {
    held.push(item)
    queue.notify()
  }
  return { queue, push }
}

describe('PullQueue', () => {
  it('gives what there is, before and after it is waited for', async () => {
    const { queue, push } = setup()
    push(1)
    setTimeout(() => {
      push(2)
      setTimeout(() => {
        push(3)
        queue.close()
      }, 1)
    }, 1)
    const got: number[][] = []
    for await (const items of queue) got.push(items)
    expect(got).toEqual([[1], [2], [3]])
  })

  it('leaves with the producer what comes while nobody reads', async () => {
    const { queue, push } = setup()
    for (let i = 0; i < 5; i++) push(i)
    queue.close()
    expect(await queue.next()).toEqual({ done: false, value: [0, 1, 2, 3, 4] })
    expect(await queue.next()).toEqual({ done: true, value: undefined })
  })

  it('misses nothing that comes while it takes', async () => {
    const takes = [Promise.withResolvers<object | null>(), Promise.withResolvers<object | null>()]
    let numTakes = 0
    const queue = new PullQueue(() => takes[numTakes++]!.promise)
    const next = queue.next()
    queue.notify()
    queue.close()
    takes[0]!.resolve(null)
    const item = {}
    takes[1]!.resolve(item)
    expect(await next).toEqual({ done: false, value: item })
  })

  it('throws what it was closed with, after what there is', async () => {
    const { queue, push } = setup()
    push(1)
    queue.close(new Error('gone'))
    expect(await queue.next()).toEqual({ done: false, value: [1] })
    await expect(queue.next()).rejects.toThrow('gone')
  })
})
