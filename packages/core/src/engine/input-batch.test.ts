import { describe, expect, it } from 'vitest'
import { defaultSamplingParams } from '../sampling-params.ts'
import { SequenceRow } from './input-batch.ts'

describe('SequenceRow', () => {
  it('takes accepted tokens from the plan, and drops rejected ones with their counts', () => {
    const row = new SequenceRow(
      {
        id: 'a',
        tokenIds: [4, 5],
        numPromptTokens: 2,
        params: defaultSamplingParams,
        eosTokenIds: [],
        blockIds: [1],
        numComputedTokens: 0,
      },
      10,
    )
    const update = { id: 'a', numComputedTokens: 2, newBlockIds: [2], replacedBlocks: [{ index: 0, blockId: 3 }] }
    row.update({ ...update, newTokenIds: [5, 6, 7] })
    expect([row.tokenIds, row.blockIds, row.numComputedTokens]).toEqual([[4, 5, 5, 6, 7], [3, 2], 2])
    row.counts.update(row.tokenIds, row.numPromptTokens)
    row.cutBack(3)
    row.update({ ...update, newBlockIds: [], newTokenIds: [8] })
    expect(row.tokenIds).toEqual([4, 5, 5, 8])
    const { tokenIds, counts } = row.counts.update(row.tokenIds, row.numPromptTokens)
    expect([[...tokenIds], [...counts]]).toEqual([
      [4, 5, 8],
      [0, 1, 1],
    ])
  })
})
