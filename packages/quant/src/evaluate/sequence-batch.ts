import type { AttentionMetadata, BackendPack, KvStorage } from '@octavo/core/backend'
import type { CausalLM } from '@octavo/core/model'
import type { TokenSequence } from './token-sequences.ts'

const blockSize = 16
/** Tokens of a batch, where they are not one longer sequence: bounds the activations. */
const maxBatchTokens = 1024

/** Whole sequences that are computed together, one behind the other. */
export interface SequenceBatch {
  readonly sequences: readonly TokenSequence[]
  readonly inputIds: Int32Array
  /** Sequence `s` has blocks of its own, in order. */
  readonly metadata: AttentionMetadata
  readonly numBlocks: number
}

export function batchSequences(sequences: readonly TokenSequence[]): SequenceBatch[] {
  const batches: SequenceBatch[] = []
  let batch: TokenSequence[] = []
  let numTokens = 0
  for (const sequence of sequences) {
    if (batch.length > 0 && numTokens + sequence.tokenIds.length > maxBatchTokens) {
      batches.push(createBatch(batch))
      batch = []
      numTokens = 0
    }
    batch.push(sequence)
    numTokens += sequence.tokenIds.length
  }
  if (batch.length > 0) batches.push(createBatch(batch))
  return batches
}

function createBatch(sequences: readonly TokenSequence[]): SequenceBatch {
  const lengths = sequences.map(({ tokenIds }) => tokenIds.length)
  const numTokens = lengths.reduce((sum, length) => sum + length, 0)
  const maxBlocksPerSeq = Math.ceil(Math.max(...lengths) / blockSize)
  const inputIds = new Int32Array(numTokens)
  const positions = new Int32Array(numTokens)
  const slotMapping = new Int32Array(numTokens)
  const queryStartLoc = new Int32Array(sequences.length + 1)
  const blockTables = new Int32Array(sequences.length * maxBlocksPerSeq)
  let numBlocks = 0
  sequences.forEach(({ tokenIds }, s) => {
    const start = queryStartLoc[s]!
    inputIds.set(tokenIds, start)
    for (let i = 0; i < tokenIds.length; i++) {
      positions[start + i] = i
      slotMapping[start + i] = numBlocks * blockSize + i
    }
    for (let i = 0; i * blockSize < tokenIds.length; i++) blockTables[s * maxBlocksPerSeq + i] = numBlocks++
    queryStartLoc[s + 1] = start + tokenIds.length
  })
  const seqLens = Int32Array.from(lengths)
  const metadata = { numTokens, numSeqs: sequences.length, blockSize, queryStartLoc, seqLens, blockTables }
  return {
    sequences,
    inputIds,
    metadata: { ...metadata, maxBlocksPerSeq, slotMapping, positions, promptLens: seqLens },
    numBlocks,
  }
}

/** Of a batch: the rows whose logits say what follows, and the token that does, sequence by sequence. */
export function scoredRows({ sequences, metadata }: SequenceBatch): { rows: Int32Array; targets: Int32Array } {
  const rows: number[] = []
  const targets: number[] = []
  sequences.forEach(({ tokenIds, firstScored }, s) => {
    for (let i = firstScored; i < tokenIds.length; i++) {
      rows.push(metadata.queryStartLoc[s]! + i - 1)
      targets.push(tokenIds[i]!)
    }
  })
  return { rows: Int32Array.from(rows), targets: Int32Array.from(targets) }
}

/** A cache for any of the batches; the caller disposes it. */
export function createBatchKv(model: CausalLM, pack: BackendPack, batches: readonly SequenceBatch[]): KvStorage {
  const numBlocks = Math.max(1, ...batches.map((batch) => batch.numBlocks))
  const numLayers = Math.max(1, model.kvShape.numLayers) // an embedding alone has none
  return pack.createKvStorage({ ...model.kvShape, numLayers, dtype: 'float32', numBlocks, blockSize })
}
