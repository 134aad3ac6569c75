import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Sequence } from '../sequence/sequence.ts'
import { testRequest } from '../sequence/sequence-request.case.ts'
import type { RequestQueue } from './request-queue.ts'
import { comparePriority, resolveSchedulingPolicy } from './scheduling-policy.ts'

function createSequence(id: string, { priority = 0, arrivalTime = 0, ordinal = 0 } = {}): Sequence {
  return new Sequence(testRequest(id, { priority, arrivalTime }), { ordinal })
}

function drain(queue: RequestQueue): string[] {
  const ids: string[] = []
  for (let next = queue.pop(); next !== null; next = queue.pop()) ids.push(next.id)
  return ids
}

describe('fcfs queue', () => {
  it('keeps the order of insertion; what is prepended goes first', () => {
    const queue = resolveSchedulingPolicy('fcfs').createQueue()
    const [a, b, c] = [createSequence('a', { priority: 5 }), createSequence('b'), createSequence('c')]
    queue.add(a)
    queue.add(b)
    queue.prepend(c)
    expect(queue.peek()).toBe(c)
    expect([...queue].map(({ id }) => id)).toEqual(['c', 'a', 'b'])
    expect([queue.remove(a), queue.remove(a), queue.size]).toEqual([true, false, 2])
    expect(drain(queue)).toEqual(['c', 'b'])
    expect([queue.peek(), queue.pop()]).toEqual([null, null])
  })
})

describe('priority queue', () => {
  it('takes the lowest priority value, then the earliest arrival, then the first inserted', () => {
    const queue = resolveSchedulingPolicy('priority').createQueue()
    queue.add(createSequence('late', { arrivalTime: 9 }))
    queue.add(createSequence('urgent', { priority: -1, arrivalTime: 10 }))
    queue.add(createSequence('patient', { priority: 3 }))
    queue.add(createSequence('twin 2', { arrivalTime: 5, ordinal: 2 }))
    queue.prepend(createSequence('twin 1', { arrivalTime: 5, ordinal: 1 }))
    expect([...queue].map(({ id }) => id)).toEqual(['urgent', 'twin 1', 'twin 2', 'late', 'patient'])
    expect(queue.peek()?.id).toBe('urgent')
    expect(drain(queue)).toEqual(['urgent', 'twin 1', 'twin 2', 'late', 'patient'])
  })

  it('sorts whatever is added and removed', () => {
    const item = fc.record({
      priority: fc.integer({ min: -2, max: 2 }),
      arrivalTime: fc.nat(3),
      isRemoved: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(item), (items) => {
        const queue = resolveSchedulingPolicy('priority').createQueue()
        const sequences = items.map((options, ordinal) => createSequence(String(ordinal), { ...options, ordinal }))
        for (const sequence of sequences) queue.add(sequence)
        for (const [i, { isRemoved }] of items.entries()) if (isRemoved) expect(queue.remove(sequences[i]!)).toBe(true)
        const rest = sequences.filter((_, i) => !items[i]!.isRemoved).sort(comparePriority)
        expect(drain(queue)).toEqual(rest.map(({ id }) => id))
      }),
    )
  })
})
