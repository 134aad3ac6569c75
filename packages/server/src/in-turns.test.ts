import { describe, expect, it } from 'vitest'
import { mapInTurns } from './map-in-turns.ts'
import { turnPerPiece } from './testing/turn-per-piece.ts'
import { jsonBytes } from './json-bytes.ts'

describe('a list in turns', () => {
  it('is the mapped list, in as many turns as its entries weigh', async () => {
    const { turns, numTurns } = turnPerPiece()
    const list = Array.from({ length: 1000 }, (_, i) => i)
    expect(await mapInTurns(list, (i) => -i, { turns, weight: 21 })).toEqual(list.map((i) => -i))
    expect(numTurns()).toBeGreaterThanOrEqual(20)
  })

  it('that is short takes none', async () => {
    const { turns, numTurns } = turnPerPiece()
    expect(await mapInTurns([1, 2], String, { turns, weight: 21 })).toEqual(['1', '2'])
    expect(numTurns()).toBe(0)
  })

  it('fails with what the function throws', async () => {
    const fail = () => {
      throw new Error('no')
    }
    for (const length of [1, 5000])
      await expect(mapInTurns(Array.from({ length }), fail, turnPerPiece())).rejects.toThrow('no')
  })
})

describe('JSON in turns', () => {
  const write = async (body: object, turns = turnPerPiece().turns) => {
    const pieces: Buffer[] = []
    for await (const piece of jsonBytes(body, { turns })) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  }
  const token = (i: number) => ({
    token: `"${i}\u2028`,
    logprob: -i / 3,
    bytes: [i & 255],
    none: null,
    left: undefined,
  })
  const answer = {
    id: 'x',
    left: undefined,
    choices: Array.from({ length: 3 }, (_, index) => ({
      index,
      logprobs: { content: Array.from({ length: 2000 }, (_, i) => ({ ...token(i), top: [token(i), token(1)] })) },
      ids: Array.from({ length: 5000 }, (_, i) => (i === 7 ? undefined : i)),
      wide: Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`key "${i}`, i === 5 ? undefined : i])),
      empty: [{}, []],
    })),
  }

  it('is what JSON.stringify writes, in as many turns as it is large', async () => {
    const { turns, numTurns } = turnPerPiece()
    const text = await write(answer, turns)
    expect(text).toBe(JSON.stringify(answer))
    expect(numTurns()).toBeGreaterThanOrEqual(Math.floor(text.length / 65_536 / 2))
  })

  it.each([{}, { a: 1 }, { a: undefined, b: [undefined, null, [[]]], c: { d: [true, 'é', 1e21] } }])(
    'of %j',
    async (value) => {
      expect(await write(value)).toBe(JSON.stringify(value))
    },
  )

  it.each([0, 1, 300])('of a list of %i whose entries come one by one', async (length) => {
    const list = Array.from({ length }, (_, i) => token(i))
    async function* entries() {
      yield* list
    }
    expect(await write({ a: 1, list: entries(), b: 2 })).toBe(JSON.stringify({ a: 1, list, b: 2 }))
  })

  it('of values that are made when it is their turn', async () => {
    const order: string[] = []
    async function* entries() {
      order.push('entry')
      yield 1
    }
    const count = () => order.length
    const later = async () => {
      order.push('later')
      return undefined
    }
    expect(await write({ later, list: entries(), count })).toBe('{"list":[1],"count":2}')
  })

  it('are made no further than they are read', async () => {
    let numMade = 0
    async function* entries() {
      for (; numMade < 100; numMade++) yield 'x'.repeat(65_536)
    }
    const bytes = jsonBytes({ list: entries() }, turnPerPiece())
    for (let i = 0; i < 5; i++) await bytes.next()
    expect(numMade).toBeLessThanOrEqual(5)
    await bytes.return()
    expect(numMade).toBeLessThanOrEqual(5)
  })

  it('end with the reason of the signal', async () => {
    const gone = new AbortController()
    const bytes = jsonBytes({ list: ['x'.repeat(100_000), 1] }, { ...turnPerPiece(), signal: gone.signal })
    await bytes.next()
    gone.abort(new Error('gone'))
    await expect(bytes.next()).rejects.toThrow('gone')
  })

  it('fails with what an entry fails with', async () => {
    // oxlint-disable-next-line require-yield
    async function* entries() {
      throw new Error('no')
    }
    await expect(write({ list: entries() })).rejects.toThrow('no')
  })
})
