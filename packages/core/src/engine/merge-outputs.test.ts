import { describe, expect, it } from 'vitest'
import type { CompletionOutput, RequestOutput } from '../sequence/outputs.ts'
import { AsyncQueue } from '../util/async-queue.ts'
import { mergeOf } from './merge-outputs.ts'

const sample = (index: number, tokenIds: number[], rest: Partial<CompletionOutput> = {}): CompletionOutput => ({
  index,
  text: tokenIds.map((id) => `<${id}>`).join(''),
  tokenIds,
  logprobs: tokenIds.map((tokenId) => {
    const chosen = { tokenId, logprob: -tokenId, rank: 1, token: '', bytes: [] }
    return { chosen, top: [], textOffset: 0 }
  }),
  cumulativeLogprob: -tokenIds.at(-1)!,
  finishReason: null,
  stopReason: null,
  ...rest,
})

const output = (outputs: CompletionOutput[], rest: Partial<RequestOutput> = {}): RequestOutput => ({
  requestId: 'r',
  prompt: 'p',
  promptTokenIds: [1],
  promptLogprobs: null,
  outputs,
  finished: false,
  numCachedTokens: 0,
  ...rest,
})

describe('outputs that nobody reads', () => {
  it('join their deltas, sample by sample', () => {
    const merge = mergeOf('delta')
    const merged = [
      output([sample(0, [1])]),
      output([sample(0, [2, 3]), sample(1, [4])]),
      output([sample(1, [5], { finishReason: 'stop' }), sample(0, [6], { finishReason: 'length', stopReason: 6 })], {
        finished: true,
        promptLogprobs: [null],
        numCachedTokens: 16,
      }),
    ].reduce(merge)
    expect(merged).toEqual(
      output(
        [
          sample(0, [1, 2, 3, 6], { finishReason: 'length', stopReason: 6 }),
          sample(1, [4, 5], { finishReason: 'stop' }),
        ],
        { finished: true, promptLogprobs: [null], numCachedTokens: 16 },
      ),
    )
  })

  it('keep the last where outputs repeat everything', () => {
    const [first, last] = [output([sample(0, [1])]), output([sample(0, [1, 2])])]
    for (const kind of ['cumulative', 'final', undefined] as const) expect(mergeOf(kind)(first, last)).toBe(last)
  })

  it('wait as one, however long', async () => {
    const queue = new AsyncQueue(mergeOf('delta'))
    for (let i = 0; i < 20_000; i++) queue.push(output([sample(0, [i])]))
    queue.close()
    const { value } = await queue.next()
    expect(value?.outputs[0]?.tokenIds).toHaveLength(20_000)
    expect(value?.outputs[0]?.text.endsWith('<19998><19999>')).toBe(true)
    expect((await queue.next()).done).toBe(true)
  })
})
