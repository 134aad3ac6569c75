import { InvalidConfigError } from '../errors.ts'
import type { Sequence } from '../sequence/sequence.ts'
import { FcfsQueue, type RequestQueue, SortedQueue } from './request-queue.ts'

/** Who runs first, and who gives way when the KV cache is full: what `new Scheduler({ policy })` takes. */
export interface SchedulingPolicy {
  readonly name: string
  /** A queue for the sequences that wait, in the order in which they are admitted. One for each scheduler. */
  createQueue(): RequestQueue
  /** The one to preempt of those that run, oldest first; there is at least one. It loses its blocks and waits again. */
  chooseVictim(running: readonly Sequence[]): Sequence
}

export type SchedulingPolicyName = keyof typeof schedulingPolicies

/** Negative if `a` runs before `b`: lower priority value, then earlier arrival, then earlier insertion. */
export function comparePriority(a: Sequence, b: Sequence): number {
  return (
    a.request.priority - b.request.priority || a.request.arrivalTime - b.request.arrivalTime || a.ordinal - b.ordinal
  )
}

/** First come, first served: the last come is the first to go. */
const fcfs: SchedulingPolicy = {
  name: 'fcfs',
  createQueue: () => new FcfsQueue(),
  chooseVictim: (running) => running.at(-1)!,
}

/** Lower `priority` first; the least urgent goes, although it may be in the step already that needs its blocks. */
const priority: SchedulingPolicy = {
  name: 'priority',
  createQueue: () => new SortedQueue(comparePriority),
  chooseVictim: (running) => running.toSorted(comparePriority).at(-1)!,
}

const schedulingPolicies = { fcfs, priority } as const

/** @throws InvalidConfigError for a name that is none of ours. */
export function resolveSchedulingPolicy(policy: SchedulingPolicyName | SchedulingPolicy): SchedulingPolicy {
  if (typeof policy === 'object' && policy !== null) return policy
  if (Object.hasOwn(schedulingPolicies, policy)) return schedulingPolicies[policy]
  const names = Object.keys(schedulingPolicies).map((name) => `'${name}'`)
  throw new InvalidConfigError(
    'policy',
    `must be ${names.join(' or ')} or a SchedulingPolicy, got ${JSON.stringify(policy)}.`,
  )
}
