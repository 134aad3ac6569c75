import { expect, it } from 'vitest'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { embeddedModelPath } from '../loading/embedded-model.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { LogprobDecoder } from './logprob-decoder.ts'

it('gives each entry its token and bytes, which entries of one token share', async () => {
  const tokenizer = createTokenizer((await openCheckpoint(embeddedModelPath('octavo-tiny'))).readTokenizer())
  const decoder = new LogprobDecoder(tokenizer)
  const [cat, half] = [...tokenizer.encode(' cat'), ...tokenizer.encode('😀').slice(0, 1)]
  const entry = (tokenId: number, rank: number) => ({ tokenId, rank, logprob: -rank })
  const { chosen, top } = decoder.decode({ chosen: entry(cat!, 1), top: [entry(cat!, 1), entry(half!, 2)] })
  expect(chosen).toEqual({ ...entry(cat!, 1), token: ' cat', bytes: [...Buffer.from(' cat')] })
  expect(top[1]).toMatchObject({ tokenId: half, rank: 2, logprob: -2, token: '\ufffd' })
  expect(top[0]?.bytes).toBe(chosen.bytes)
})
