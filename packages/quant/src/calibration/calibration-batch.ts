import type { AttentionMetadata } from '@octavo/core/ops'

/** One text as token ids. */
export interface CalibrationSequence {
  readonly ids: Int32Array
  /** Which tokens passes are shown, 1 for those that count; `null`: all. */
  readonly mask: Uint8Array | null
}

/** Whole sequences one behind the other, without padding, as the kernels take them. */
export interface CalibrationBatch {
  readonly ids: Int32Array // [numTokens]
  readonly metadata: AttentionMetadata
  readonly numBlocks: number
  /** Rows that passes are shown; `null`: all. */
  readonly shown: Int32Array | null
}

export const calibrationBlockSize = 16

/** Fills batches up to `maxTokens`, in the order of the sequences; a longer sequence is a batch of its own. */
export function createBatches(sequences: readonly CalibrationSequence[], maxTokens: number): CalibrationBatch[] {
  const groups: CalibrationSequence[][] = []
  let numTokens = Infinity
  for (const sequence of sequences) {
    if (numTokens + sequence.ids.length > maxTokens) {
      groups.push([])
      numTokens = 0
    }
    groups.at(-1)!.push(sequence)
    numTokens += sequence.ids.length
  }
  return groups.map(createBatch)
}

function createBatch(sequences: readonly CalibrationSequence[]): CalibrationBatch {
  const lengths = sequences.map(({ ids }) => ids.length)
  const numBlocksOf = (length: number): number => Math.ceil(length / calibrationBlockSize)
  const maxBlocksPerSeq = Math.max(...lengths.map(numBlocksOf))
  const blockTables = new Int32Array(sequences.length * maxBlocksPerSeq)
  const queryStartLoc = [0]
  const slots: number[] = []
  const positions: number[] = []
  const shown: number[] = []
  let numBlocks = 0
  sequences.forEach(({ ids, mask }, s) => {
    const first = numBlocks
    numBlocks += numBlocksOf(ids.length)
    for (let block = first; block < numBlocks; block++) blockTables[s * maxBlocksPerSeq + block - first] = block
    for (let i = 0; i < ids.length; i++) {
      if (mask === null || mask[i] === 1) shown.push(slots.length)
      slots.push(first * calibrationBlockSize + i)
      positions.push(i)
    }
    queryStartLoc.push(slots.length)
  })
  return {
    ids: Int32Array.from(sequences.flatMap(({ ids }) => [...ids])),
    numBlocks,
    shown: shown.length === slots.length ? null : Int32Array.from(shown),
    metadata: {
      numTokens: slots.length,
      numSeqs: sequences.length,
      blockSize: calibrationBlockSize,
      queryStartLoc: Int32Array.from(queryStartLoc),
      seqLens: Int32Array.from(lengths),
      blockTables,
      maxBlocksPerSeq,
      slotMapping: Int32Array.from(slots),
      positions: Int32Array.from(positions),
      promptLens: Int32Array.from(lengths),
    },
  }
}
