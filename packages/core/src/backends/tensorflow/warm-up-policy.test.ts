import { expect, it } from 'vitest'
import { groupQueries } from './attention-groups.ts'
import { warmupPolicy } from './warm-up-policy.ts'

it('knows every length to which decodes are padded', () => {
  const maxModelLen = 3000
  const paddedTo = (seqLen: number): number | undefined => {
    const metadata = {
      numTokens: 1,
      numSeqs: 1,
      blockSize: 16,
      queryStartLoc: Int32Array.of(0, 1),
      seqLens: Int32Array.of(seqLen),
      blockTables: new Int32Array(200),
      maxBlocksPerSeq: 200,
      slotMapping: Int32Array.of(0),
      positions: Int32Array.of(seqLen - 1),
    }
    return groupQueries(metadata, { slidingWindow: null, numHeads: 1, kvWidth: 1 })[0]?.contextLen
  }
  const met = new Set(Array.from({ length: maxModelLen }, (_, i) => paddedTo(i + 1)))
  const warmed = warmupPolicy(true).contextLengths(maxModelLen)
  expect(warmed.map(paddedTo)).toEqual([...met])
  expect(warmed.at(-1)).toBe(maxModelLen)
})
