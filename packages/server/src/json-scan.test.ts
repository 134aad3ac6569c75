import { TurnQueue } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { jsonLimits } from './json-limits.ts'
import { scanJson } from './json-scan.ts'
import { turnPerPiece } from './testing/turn-per-piece.ts'

const scan = (text: string, turns = new TurnQueue()) => scanJson(Buffer.from(text), turns)
const { depth, objectsAndArrays, keys, strings, values } = jsonLimits

describe('the parts of a body', () => {
  it.each([
    ['levels of nesting', (n: number) => '['.repeat(n) + ']'.repeat(n), depth],
    ['objects and arrays', (n: number) => `[${'{},'.repeat(n - 2)}[]]`, objectsAndArrays],
    ['keys', (n: number) => `{${'"a":1,'.repeat(n - 1)}"a":1}`, keys],
    ['strings', (n: number) => `[${'"a\\"[{",'.repeat(n - 1)}""]`, strings],
    ['values', (n: number) => `[${'1,'.repeat(n)}1]`, values],
  ])('are limited: %s', async (name, withParts, max) => {
    await expect(scan(withParts(max))).resolves.toEqual({ seed: null })
    await expect(scan(withParts(max + 1))).rejects.toThrow(new RegExp(`more than ${max} ${name}.*split the request`))
  })

  it('in strings do not count, wherever the text is cut for looking at it', async () => {
    for (let shift = 0; shift < 8; shift++)
      await expect(scan(`["${'x'.repeat(shift)}${'\\"\\\\[{,'.repeat(200_000)}"]`)).resolves.toEqual({ seed: null })
  })

  it('are counted while others run', async () => {
    const { turns, numTurns } = turnPerPiece()
    await scan(`"${'a'.repeat(8 * 1024 * 1024)}"`, turns)
    expect(numTurns()).toBeGreaterThanOrEqual(15)
  })

  it.each(['', '"', '"\\', ':', '}}]', '{"a', '[1', '"\\u00":', '\\"a":1'])('may be malformed: %j', async (text) => {
    await expect(scan(text)).resolves.toEqual({ seed: null })
  })
})

describe('the seed', () => {
  it.each([
    ['{"seed":12}', '12'],
    ['{"a":[{"seed":1}],"s\\u0065ed" \n:\t -34 }', '-34'],
    ['{"seed":1,"seed":2}', '2'],
    ['{"a":{"seed":1}}', null],
    ['["seed",1]', null],
    ['{"seed":"1"}', null],
    ['{"seed":1.5}', null],
    ['{"seed":1e3}', null],
    ['{"seed":123456789012345678901}', null],
  ])('of %s', async (text, seed) => {
    expect(await scan(text)).toEqual({ seed })
  })
})
