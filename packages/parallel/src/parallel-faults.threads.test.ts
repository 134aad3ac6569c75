import { RankFailedError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { runWithFault } from './parallel-faults.case.ts'

describe('a rank that goes wrong as a thread', () => {
  it('throws between two collectives', async () => {
    const { cause } = await runWithFault({ parallel: { tp: 2 }, fault: 'throws', deadlineMs: 0 })
    expect(cause).toBeInstanceOf(RankFailedError)
    expect(cause).toMatchObject({ rank: 1, message: 'rank 1 failed: the cable was pulled' })
  })

  it('exits', async () => {
    const { cause } = await runWithFault({ parallel: { tp: 2 }, fault: 'exits', deadlineMs: 0 })
    expect(cause).toMatchObject({ rank: 1, message: 'rank 1 failed: its thread exited with code 3' })
  })

  it('does not go on', async () => {
    const run = { parallel: { tp: 2 }, fault: 'loops', deadlineMs: 800, stepTimeoutMs: 800 } as const
    const { cause } = await runWithFault(run)
    expect(cause).toBeInstanceOf(RankFailedError)
    expect(cause).toMatchObject({ rank: 1 })
  })
})
