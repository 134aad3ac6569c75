import { describe, expect, it } from 'vitest'
import type { Sequence } from '../sequence/sequence.ts'
import { tokenRange } from '../sequence/sequence-request.case.ts'
import { SortedQueue } from './request-queue.ts'
import { add, scheduledIn, setup, step } from './scheduler-setup.case.ts'
import type { SchedulingPolicy } from './scheduling-policy.ts'

describe('a policy of the user', () => {
  it('orders those that wait, and chooses who gives way', () => {
    const compare = (a: Sequence, b: Sequence): number => a.numPromptTokens - b.numPromptTokens || a.ordinal - b.ordinal
    const shortestFirst: SchedulingPolicy = {
      name: 'shortest-first',
      createQueue: () => new SortedQueue(compare),
      chooseVictim: (running) => running.toSorted(compare).at(-1)!,
    }
    const { scheduler } = setup({ numBlocks: 5, blockSize: 4, policy: shortestFirst, enablePrefixCaching: false })
    add(scheduler, 'long', { promptTokenIds: tokenRange(0, 8) })
    add(scheduler, 'short', { promptTokenIds: tokenRange(1, 3) })
    expect(Object.keys(scheduledIn(step(scheduler).plan))).toEqual(['short', 'long'])
    step(scheduler)
    expect(step(scheduler).plan).toMatchObject({ scheduled: [{ id: 'short' }], droppedIds: ['long'] })
  })
})
