import { expect, it } from 'vitest'
import type { TokenLogprobs } from './outputs.ts'
import { packLogprobs, tokenEnd, unpackLogprobs } from './packed-logprobs.ts'

const entry = (tokenId: number, logprob: number, rank: number) => ({ tokenId, logprob, rank })

it('logprobs come out of one list of numbers as they went in', () => {
  const tokens: (TokenLogprobs | null)[] = [
    null,
    { chosen: entry(7, -Math.PI, 3), top: [entry(1, -0.1, 1), entry(2, -Infinity, 2)] },
    { chosen: entry(151_935, -1e-300, 1), top: [] },
    null,
  ]
  const packed = packLogprobs(tokens)
  expect(unpackLogprobs(packed)).toEqual(tokens)
  expect(unpackLogprobs(structuredClone(packed))).toEqual(tokens)
  expect(tokenEnd(packed, 1)).toBe(1 + 1 + 3 * 3)
  expect(packLogprobs([])).toHaveLength(0)
})
