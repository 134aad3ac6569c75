import type { AttentionMetadata } from '../../ops/attention-metadata.ts'
import { ceilDiv } from '../../util/math.ts'

/** Some consecutive query rows of one sequence, and the keys that they may see. */
export interface QueryPiece {
  readonly sequence: number
  /** Its rows of the flattened batch: `[firstRow, firstRow + numRows)`. */
  readonly firstRow: number
  readonly numRows: number
  /** Position of its first row. */
  readonly position: number
  /** Positions of its keys: `[contextStart, contextEnd)`; those before a sliding window are left out. */
  readonly contextStart: number
  readonly contextEnd: number
}

/** Pieces that are computed together, padded to the same number of rows and keys. */
export interface PieceGroup {
  readonly pieces: readonly QueryPiece[]
  readonly numRows: number
  readonly contextLen: number
}

export interface GroupingOptions {
  readonly slidingWindow: number | null
  readonly numHeads: number
  /** Of a key of all heads. */
  readonly kvWidth: number
}

/** Scores, and gathered keys, that one group may have: 64 MiB in float32. */
const maxElements = 2 ** 24

/** Long prompts are cut here: earlier pieces need fewer keys, and scores stay in the caches. */
const maxRows = 256

/**
 * Cuts a batch into groups of similar shape: decodes with contexts of about the same length, prompts with about as many
 * rows. Padded sizes come from a short list, so that shapes repeat from step to step while sequences grow.
 */
export function groupQueries(metadata: AttentionMetadata, options: GroupingOptions): PieceGroup[] {
  const pieces: QueryPiece[] = []
  for (let s = 0; s < metadata.numSeqs; s++) pieces.push(...cutSequence(metadata, s, options))
  const sized = pieces.map((piece) => ({
    piece,
    numRows: paddedRows(piece.numRows),
    contextLen: paddedContext(piece.contextEnd - piece.contextStart),
  }))
  sized.sort((a, b) => b.numRows - a.numRows || b.contextLen - a.contextLen || a.piece.firstRow - b.piece.firstRow)
  const groups: { pieces: QueryPiece[]; numRows: number; contextLen: number }[] = []
  for (const { piece, numRows, contextLen } of sized) {
    const group = groups.at(-1)
    if (group !== undefined && canJoin(group, { numRows, contextLen }, options)) group.pieces.push(piece)
    else groups.push({ pieces: [piece], numRows, contextLen })
  }
  for (const { pieces: members } of groups) members.sort((a, b) => a.firstRow - b.firstRow)
  return groups
}

function canJoin(
  group: PieceGroup,
  { numRows, contextLen }: Pick<PieceGroup, 'numRows' | 'contextLen'>,
  { numHeads, kvWidth }: GroupingOptions,
): boolean {
  if (numRows !== group.numRows) return false
  // A group costs about ten ops per layer; below this, padding is cheaper than a group more.
  if (contextLen < group.contextLen / 2 && group.contextLen > 128) return false
  const perPiece = group.contextLen * Math.max(numHeads * numRows, kvWidth)
  return (group.pieces.length + 1) * perPiece <= maxElements
}

function cutSequence(
  { queryStartLoc, seqLens }: AttentionMetadata,
  sequence: number,
  { slidingWindow, numHeads }: GroupingOptions,
): QueryPiece[] {
  const start = queryStartLoc[sequence]!
  const total = queryStartLoc[sequence + 1]! - start
  const seqLen = seqLens[sequence]!
  const fitting = Math.floor(maxElements / (numHeads * paddedContext(seqLen)))
  const step = Math.max(1, Math.min(maxRows, 2 ** Math.floor(Math.log2(Math.max(1, fitting)))))
  return Array.from({ length: ceilDiv(total, step) }, (_, i) => {
    const numRows = Math.min(step, total - i * step)
    const position = seqLen - total + i * step
    return {
      sequence,
      firstRow: start + i * step,
      numRows,
      position,
      contextStart: slidingWindow === null ? 0 : Math.max(0, position - slidingWindow + 1),
      contextEnd: position + numRows,
    }
  })
}

/** 1, or the next power of two. */
function paddedRows(numRows: number): number {
  return 2 ** Math.ceil(Math.log2(numRows))
}

/** Multiples of 16 at first, later eight sizes between a power of two and the next: at most an eighth is padding. */
function paddedContext(length: number): number {
  const step = Math.max(16, 2 ** Math.floor(Math.log2(length)) / 8)
  return ceilDiv(length, step) * step
}
