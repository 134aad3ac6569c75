// Short prompts run first; of those that run, the longest gives way when the KV cache is full.
import { type CreateSchedulingPolicy, type Sequence, SortedQueue } from '@octavo/core/engine'

const compare = (a: Sequence, b: Sequence): number => a.numPromptTokens - b.numPromptTokens || a.ordinal - b.ordinal

export const createSchedulingPolicy: CreateSchedulingPolicy = () => ({
  name: 'shortest-first',
  createQueue: () => new SortedQueue(compare),
  chooseVictim: (running) => running.toSorted(compare).at(-1)!,
})
