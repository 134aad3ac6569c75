import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { LineGate } from './line-gate.ts'

const never = new AbortController().signal

function open(maxLines: number) {
  const load = { others: 0, waiting: 0 }
  const gate = new LineGate({ maxLines, numOthers: () => load.others, numWaitingSeqs: () => load.waiting })
  return { gate, load }
}

describe('LineGate', () => {
  it('lets groups in turn, and those of one group in their order', async () => {
    const { gate } = open(1)
    await gate.enter('first', never)
    const entered: string[] = []
    for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'b2'])
      void gate.enter(name[0]!, never).then(() => {
        entered.push(name)
        gate.leave()
      })
    await sleep(0)
    expect(entered).toEqual([])
    gate.leave()
    await sleep(10)
    expect(entered).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  })

  it('lets nobody in whose signal has fired, and goes on with the others', async () => {
    const { gate } = open(1)
    await gate.enter('a', never)
    const controller = new AbortController()
    const [gone, other] = [gate.enter('a', controller.signal), gate.enter('b', never)]
    controller.abort()
    expect(await gone).toBe(false)
    expect(await gate.enter('a', controller.signal)).toBe(false)
    gate.leave()
    expect(await other).toBe(true)
  })

  it('lets one in whatever waits, and a quarter while others ask', async () => {
    const { gate, load } = open(8)
    load.waiting = 5
    let numIn = 0
    for (let i = 0; i < 10; i++) void gate.enter('a', never).then(() => numIn++)
    await sleep(120)
    expect(numIn).toBe(1)
    Object.assign(load, { waiting: 0, others: 1 })
    await sleep(120)
    expect(numIn).toBe(2)
    load.others = 0
    await sleep(120)
    expect(numIn).toBe(8)
    gate.leave()
    gate.leave()
    await sleep(0)
    expect(numIn).toBe(10)
  })
})
