import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AttentionMetadata } from '../../ops/attention-metadata.ts'
import { groupQueries } from './attention-groups.ts'
import type { GroupingOptions } from './attention-groups.ts'

interface Sequence {
  readonly queryLen: number
  readonly seqLen: number
}

function metadataOf(sequences: readonly Sequence[]): AttentionMetadata {
  const queryStartLoc = [0]
  for (const { queryLen } of sequences) queryStartLoc.push(queryStartLoc.at(-1)! + queryLen)
  const numTokens = queryStartLoc.at(-1)!
  return {
    numTokens,
    numSeqs: sequences.length,
    blockSize: 16,
    queryStartLoc: Int32Array.from(queryStartLoc),
    seqLens: Int32Array.from(sequences, ({ seqLen }) => seqLen),
    blockTables: new Int32Array(0),
    maxBlocksPerSeq: 0,
    slotMapping: new Int32Array(numTokens),
    positions: new Int32Array(numTokens),
  }
}

const options: GroupingOptions = { slidingWindow: null, numHeads: 8, kvWidth: 256 }

describe('groupQueries', () => {
  it('covers every row once, with all keys that it may see, within the limits', () => {
    const sequence = fc
      .tuple(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 0, max: 6000 }))
      .map(([queryLen, before]) => ({ queryLen, seqLen: before + queryLen }))
    const decode = fc.integer({ min: 1, max: 6000 }).map((seqLen) => ({ queryLen: 1, seqLen }))
    const window = fc.option(fc.integer({ min: 1, max: 900 }), { nil: null })
    fc.assert(
      fc.property(
        fc.array(fc.oneof(sequence, decode), { minLength: 1, maxLength: 12 }),
        window,
        (sequences, slidingWindow) => {
          const metadata = metadataOf(sequences)
          const seen = new Uint8Array(metadata.numTokens)
          for (const group of groupQueries(metadata, { ...options, slidingWindow })) {
            for (const piece of group.pieces) {
              expect(piece.numRows).toBeLessThanOrEqual(group.numRows)
              expect(piece.contextEnd - piece.contextStart).toBeLessThanOrEqual(group.contextLen)
              const { seqLen, queryLen } = sequences[piece.sequence]!
              const first = piece.firstRow - metadata.queryStartLoc[piece.sequence]!
              expect(piece.position).toBe(seqLen - queryLen + first)
              expect(piece.contextEnd).toBe(piece.position + piece.numRows)
              const mayLook = slidingWindow === null ? 0 : Math.max(0, piece.position - slidingWindow + 1)
              expect(piece.contextStart).toBe(mayLook)
              for (let row = 0; row < piece.numRows; row++) seen[piece.firstRow + row]!++
            }
            if (group.pieces.length > 1) {
              expect(group.pieces.length * group.numRows * group.contextLen * options.numHeads).toBeLessThanOrEqual(
                2 ** 24,
              )
            }
          }
          expect(seen.every((count) => count === 1)).toBe(true)
        },
      ),
    )
  })

  it('puts decodes of similar length into one group, in the order of the batch', () => {
    const sequences = [1000, 1024, 600, 990].map((seqLen) => ({ queryLen: 1, seqLen }))
    const [group, ...others] = groupQueries(metadataOf(sequences), options)
    expect(others).toEqual([])
    expect(group?.pieces.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3])
    expect(group).toMatchObject({ numRows: 1, contextLen: 1024 })
  })

  it('does not pad a short context to a long one, nor a decode to a prompt', () => {
    const sequences = [
      { queryLen: 1, seqLen: 4000 },
      { queryLen: 1, seqLen: 100 },
      { queryLen: 30, seqLen: 4000 },
    ]
    const groups = groupQueries(metadataOf(sequences), options)
    expect(groups.map(({ numRows }) => numRows)).toEqual([32, 1, 1])
  })

  it('meets few shapes while sequences grow', () => {
    const shapes = new Set<number>()
    for (let seqLen = 1; seqLen <= 4096; seqLen++) {
      for (const { contextLen } of groupQueries(metadataOf([{ queryLen: 1, seqLen }]), options)) shapes.add(contextLen)
    }
    expect(shapes.size).toBeLessThanOrEqual(48)
  })

  it('gathers a sliding window only', () => {
    const [group] = groupQueries(metadataOf([{ queryLen: 1, seqLen: 5000 }]), { ...options, slidingWindow: 64 })
    expect(group).toMatchObject({ contextLen: 64 })
    expect(group?.pieces[0]).toMatchObject({ contextStart: 4936, contextEnd: 5000 })
  })
})
