import { describe, expect, it } from 'vitest'
import { mergeAsync } from './merge-async.ts'

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const values: T[] = []
  for await (const value of source) values.push(value)
  return values
}

async function* count(to: number, onEnd: () => void = () => undefined): AsyncGenerator<number> {
  try {
    for (let value = 0; value < to; value++) yield value
  } finally {
    onEnd()
  }
}

describe('mergeAsync', () => {
  it('yields every value of every source, each source in order', async () => {
    const merged = await collect(mergeAsync([count(3), count(0), count(5)]))
    expect(merged.filter(({ index }) => index === 0).map(({ value }) => value)).toEqual([0, 1, 2])
    expect(merged.filter(({ index }) => index === 2).map(({ value }) => value)).toEqual([0, 1, 2, 3, 4])
    expect(merged).toHaveLength(8)
  })

  it('yields what comes first first', async () => {
    const slow = Promise.withResolvers<void>()
    async function* late(): AsyncGenerator<string> {
      await slow.promise
      yield 'late'
    }
    async function* early(): AsyncGenerator<string> {
      yield 'early'
      slow.resolve()
    }
    expect((await collect(mergeAsync([late(), early()]))).map(({ value }) => value)).toEqual(['early', 'late'])
  })

  it('does not run ahead of its reader', async () => {
    let produced = 0
    async function* eager(): AsyncGenerator<number> {
      while (true) yield produced++
    }
    const merged = mergeAsync([eager()])
    for (let i = 0; i < 5; i++) await merged.next()
    await new Promise((resolve) => setImmediate(resolve))
    expect(produced).toBeLessThanOrEqual(6)
    await merged.return()
  })

  it('throws what a source throws, even while the reader is busy elsewhere', async () => {
    async function* failing(): AsyncGenerator<number> {
      yield 1
      throw new Error('broken')
    }
    const merged = mergeAsync([failing(), count(1)])
    await merged.next()
    await new Promise((resolve) => setImmediate(resolve))
    await expect(collect(merged)).rejects.toThrow('broken')
  })

  it('ends its sources when its reader leaves', async () => {
    const ended: string[] = []
    const merged = mergeAsync([count(9, () => ended.push('a')), count(9, () => ended.push('b'))])
    await merged.next()
    await merged.return()
    await new Promise((resolve) => setImmediate(resolve))
    expect(ended.toSorted()).toEqual(['a', 'b'])
  })
})
