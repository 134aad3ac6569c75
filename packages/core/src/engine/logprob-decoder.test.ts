import { expect, it } from 'vitest'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import { packLogprobs } from '../sequence/packed-logprobs.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { TurnQueue } from '../util/turn-queue.ts'
import { LogprobDecoder } from './logprob-decoder.ts'

const tokenizer = createTokenizer((await openCheckpoint(embeddedModelPath('octavo-tiny'))).readTokenizer())
const decoder = new LogprobDecoder(tokenizer, new TurnQueue())
const entry = (tokenId: number, rank: number) => ({ tokenId, rank, logprob: -rank })

it('gives each entry its token and bytes, which entries of one token share', () => {
  const [cat, half] = [...tokenizer.encode(' cat'), ...tokenizer.encode('😀').slice(0, 1)]
  const packed = packLogprobs([{ chosen: entry(cat!, 1), top: [entry(cat!, 1), entry(half!, 2)] }])
  const { chosen, top } = decoder.decode([packed])[0]!
  expect(chosen).toEqual({ ...entry(cat!, 1), token: ' cat', bytes: [...Buffer.from(' cat')] })
  expect(top[1]).toMatchObject({ tokenId: half, rank: 2, logprob: -2, token: '\ufffd' })
  expect(top[0]?.bytes).toBe(chosen.bytes)
})

it('gives the same in slices', async () => {
  const tokenAt = (i: number) => ({ chosen: entry(i % 2000, i), top: [entry(i % 7, 1)] })
  const lists = [3000, 1, 0, 5000].map((count) =>
    packLogprobs([null, ...Array.from({ length: count }, (_, i) => tokenAt(i))]),
  )
  expect(await decoder.decodeInTurns(lists)).toEqual(decoder.decode(lists))
})
