import { describe, expect, it } from 'vitest'
import { type TurnClock, TurnQueue } from './turn-queue.ts'

/** An event loop whose time passes only while work is done. */
class FakeLoop implements TurnClock {
  time = 0
  #next: (() => void)[] = []

  now(): number {
    return this.time
  }

  nextTurn(run: () => void): void {
    this.#next.push(run)
  }

  /** One turn, with all that follows from it. @returns whether there was anything to run */
  async turn(): Promise<boolean> {
    const ready = this.#next.splice(0)
    for (const run of ready) run()
    await new Promise((resolve) => setImmediate(resolve))
    return ready.length > 0
  }
}

const setup = (budgetMs = 10) => {
  const loop = new FakeLoop()
  const turns = new TurnQueue({ clock: loop, budgetMs })
  const done: string[] = []
  const work = (name: string, ms: number) => () => {
    loop.time += ms
    done.push(name)
    return name
  }
  /** What was done, turn by turn. */
  const perTurn = async () => {
    await new Promise((resolve) => setImmediate(resolve))
    const list = [done.splice(0)]
    while (await loop.turn()) list.push(done.splice(0))
    return list.filter((names) => names.length > 0)
  }
  return { loop, turns, done, work, perTurn }
}

describe('TurnQueue', () => {
  it('does at once what the turn has time for, and the rest in the next ones, in order', async () => {
    const { turns, done, work, perTurn } = setup()
    const results = Array.from({ length: 7 }, (_, i) => turns.run(work(`${i}`, 4)))
    expect(done).toEqual(['0'])
    expect(await perTurn()).toEqual([['0', '1', '2'], ['3', '4', '5'], ['6']])
    expect(await Promise.all(results)).toEqual(['0', '1', '2', '3', '4', '5', '6'])
  })

  it('does one piece a turn, however long', async () => {
    const { turns, work, perTurn } = setup()
    for (const name of ['a', 'b', 'c']) void turns.run(work(name, 50))
    expect(await perTurn()).toEqual([['a'], ['b'], ['c']])
  })

  it('counts what follows from a piece, and what else is done in the turn', async () => {
    const { loop, turns, work, perTurn } = setup()
    for (const name of ['a', 'b', 'c']) {
      void turns.run(work(name, 1)).then(async () => {
        await Promise.resolve()
        loop.time += 8
      })
    }
    expect(await perTurn()).toEqual([['a', 'b'], ['c']])
  })

  it('lets callers take turns, whoever came first', async () => {
    const { turns, work, perTurn } = setup()
    const [many, few] = [{}, {}]
    void turns.run(work('fills the turn', 10))
    for (let i = 0; i < 4; i++) void turns.run(work(`many ${i}`, 5), { caller: many })
    for (let i = 0; i < 2; i++) void turns.run(work(`few ${i}`, 5), { caller: few })
    expect(await perTurn()).toEqual([
      ['fills the turn'],
      ['many 0', 'few 0'],
      ['many 1', 'few 1'],
      ['many 2', 'many 3'],
    ])
  })

  it('forgets who gives up waiting, and does not begin for who has', async () => {
    const { turns, work, perTurn } = setup()
    const [caller, controller] = [{}, new AbortController()]
    void turns.run(work('fills the turn', 10))
    const given = turns.run(work('given up', 1), { caller, signal: controller.signal })
    const kept = turns.run(work('kept', 1), { caller })
    controller.abort(new Error('gone'))
    await expect(given).rejects.toThrow('gone')
    await expect(turns.run(work('late', 1), { signal: controller.signal })).rejects.toThrow('gone')
    expect(await perTurn()).toEqual([['fills the turn'], ['kept']])
    expect(await kept).toBe('kept')
  })

  it('passes on what work throws, now or later, and goes on', async () => {
    const { turns, work, perTurn } = setup()
    const fail = () => {
      throw new Error('no')
    }
    await expect(turns.run(fail)).rejects.toThrow('no')
    void turns.run(work('fills the turn', 10))
    const ends = [fail, async () => fail()].map((broken) => expect(turns.run(broken)).rejects.toThrow('no'))
    void turns.run(work('after', 1))
    expect(await perTurn()).toEqual([['fills the turn'], ['after']])
    await Promise.all(ends)
  })

  it('works on a real event loop', async () => {
    const turns = new TurnQueue({ budgetMs: 0 })
    const order: number[] = []
    await Promise.all(Array.from({ length: 100 }, (_, i) => turns.run(() => order.push(i))))
    expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i))
  })
})
