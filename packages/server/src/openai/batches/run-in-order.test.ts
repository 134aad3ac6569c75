import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { runInOrder } from './run-in-order.ts'

async function* count(end: number): AsyncGenerator<number, void, undefined> {
  for (let i = 0; i < end; i++) yield i
}

describe('runInOrder', () => {
  it('writes in the order of the lines, one at a time, however long each takes', async () => {
    const written: number[] = []
    let numWriting = 0
    let numAhead = 0
    let mostAhead = 0
    await runInOrder(count(50), {
      enter: async () => true,
      run: async (line) => {
        mostAhead = Math.max(mostAhead, ++numAhead)
        await sleep(line === 0 ? 50 : (line * 7) % 5)
        return line
      },
      write: async (line) => {
        expect(++numWriting).toBe(1)
        await sleep(0)
        written.push(line)
        numWriting--
        numAhead--
      },
      maxHeld: 8,
    })
    expect(written).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect(mostAhead).toBeLessThanOrEqual(9)
  })

  it.each(['run', 'write'] as const)('ends with the first failure of %s, and writes no more', async (where) => {
    const written: number[] = []
    const failAt = (at: typeof where, line: number): void => {
      if (at === where && line === 5) throw new Error('no')
    }
    const run = runInOrder(count(1000), {
      enter: async () => true,
      run: async (line) => {
        await sleep(1)
        failAt('run', line)
        return line
      },
      write: async (line) => {
        failAt('write', line)
        written.push(line)
      },
      maxHeld: 4,
    })
    await expect(run).rejects.toThrow('no')
    await sleep(20)
    expect(written).toEqual([0, 1, 2, 3, 4])
  })
})
