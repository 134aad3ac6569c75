import { describe, expect, it } from 'vitest'
import type { AllocatedSlots } from '../kv-cache/kv-cache-manager.ts'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest } from '../sequence/sequence-request.case.ts'
import { StepPlan } from './step-plan.ts'

const slots: AllocatedSlots = {
  newBlockIds: [4],
  replacedBlocks: [{ index: 0, blockId: 5 }],
  blockCopies: [{ from: 3, to: 5 }],
}

describe('StepPlan', () => {
  it('describes new and known sequences in batch order', () => {
    const [a, b] = [new Sequence(testRequest('a')), new Sequence(testRequest('b'))]
    a.appendOutputToken(77)
    a.numComputedTokens = 9
    a.numPlannedTokens = 10
    const step = new StepPlan(20)
    step.add({ sequence: a, numTokens: 3, draftTokenIds: [8, 9], isNew: false, slots })
    step.add({
      sequence: b,
      numTokens: 10,
      isNew: true,
      slots: { newBlockIds: [6], replacedBlocks: [], blockCopies: [] },
    })
    expect(step.budget).toBe(7)
    expect(step.build(() => [6], ['gone'])).toEqual({
      newSequences: [
        {
          id: 'b',
          tokenIds: b.tokenIds(),
          numPromptTokens: 10,
          params: b.params,
          eosTokenIds: b.request.eosTokenIds,
          blockIds: [6],
          numComputedTokens: 0,
        },
      ],
      cachedSequences: [
        {
          id: 'a',
          newTokenIds: [77],
          numComputedTokens: 9,
          newBlockIds: [4],
          replacedBlocks: [{ index: 0, blockId: 5 }],
        },
      ],
      scheduled: [
        { id: 'a', numTokens: 3, draftTokenIds: [8, 9] },
        { id: 'b', numTokens: 10 },
      ],
      numTokens: 13,
      blockCopies: [{ from: 3, to: 5 }],
      droppedIds: ['gone'],
    })
  })

  it('takes a sequence back with its tokens and copies', () => {
    const sequence = new Sequence(testRequest('a'))
    const step = new StepPlan(20)
    step.remove(sequence)
    step.add({ sequence, numTokens: 7, isNew: false, slots })
    step.remove(sequence)
    expect(step.budget).toBe(20)
    expect(step.build(() => [], [])).toMatchObject({
      scheduled: [],
      cachedSequences: [],
      blockCopies: [],
      numTokens: 0,
    })
  })

  it('holds the budget', () => {
    const step = new StepPlan(5)
    expect(() => step.add({ sequence: new Sequence(testRequest('a')), numTokens: 6, isNew: true, slots })).toThrow(
      /budget/,
    )
  })
})
