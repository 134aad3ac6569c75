import { RankFailedError } from '@octavo/core'
import { expect, it } from 'vitest'
import { FaultyRanks } from './parallel-faults.case.ts'

it('ranks as threads: one throws between two collectives, exits, does not go on', async () => {
  const stepTimeoutMs = 1500
  await using ranks = await FaultyRanks.start({ parallel: { tp: 2 }, stepTimeoutMs })
  const thrown = await ranks.cause('throws', 0)
  expect(thrown).toBeInstanceOf(RankFailedError)
  expect(thrown).toMatchObject({ rank: 1, message: 'rank 1 failed: the cable was pulled' })
  const exited = await ranks.cause('exits', 0)
  expect(exited).toMatchObject({ rank: 1, message: 'rank 1 failed: its thread exited with code 3' })
  const looped = await ranks.cause('loops', stepTimeoutMs)
  expect(looped).toMatchObject({
    rank: 1,
    message: expect.stringMatching(/^rank 1 did not finish a step within 1500 ms/),
  })
})
