import type { AttentionMetadata } from '../../ops/attention-metadata.ts'
import { groupQueries } from './attention-groups.ts'
import type { GroupingOptions, PieceGroup } from './attention-groups.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import type { TfKvStorage } from './tf-kv-storage.ts'
import { tfDtype } from './tf-op.ts'

/** One group, with the indices and masks that all layers share. `R` = rows * heads per key/value head. */
export interface GroupPlan {
  readonly numPieces: number
  readonly numRows: number
  readonly contextLen: number
  /** Rows of the queries `[numTokens * numHeads, headDim]`, `[numPieces, numKvHeads, R]`; null where these are all in order. */
  readonly queryRows: TfeTensor | null
  /** Rows of the cache `[numPieces, numKvHeads, contextLen]`. */
  readonly cacheRows: TfeTensor
  /** Scores need an axis for the heads that share keys: neither it nor that of rows has one entry only. */
  readonly hasBothAxes: boolean
  /** 0 where a row may look, a number far below any score elsewhere: `[numPieces, 1, numRows, (1,) contextLen]`. */
  readonly mask: TfeTensor
  /** Which key is the sink, `[contextLen]`; null without sinks. */
  readonly isSink: TfeTensor | null
}

export interface AttentionPlan {
  readonly groups: readonly GroupPlan[]
  /** For each of `[numTokens * numHeads]` its row of all groups' results; null where these are in order. */
  readonly resultRows: TfeTensor | null
}

export interface PlanOptions extends GroupingOptions {
  readonly metadata: AttentionMetadata
  readonly kv: TfKvStorage
  readonly hasSinks: boolean
}

interface PlanMaker {
  readonly ops: OpScope
  readonly own: (handle: TfeTensor) => TfeTensor
}

const masked = -1e30

/** Once per step and kind of layer: integers only, made on the host and copied to the device. */
export function planAttention(maker: PlanMaker, options: PlanOptions): AttentionPlan {
  const { ops, own } = maker
  const { metadata, numHeads } = options
  const groups = groupQueries(metadata, options)
  const [first] = groups
  // Decodes in one group: then pieces, rows and heads are in the batch's order already.
  const isInOrder = groups.length === 1 && first !== undefined && first.numRows === 1
  const resultRows = new Int32Array(metadata.numTokens * numHeads)
  let firstResult = 0
  const plans = groups.map((group) => {
    const plan = planGroup(maker, group, { ...options, isInOrder })
    placeResults(resultRows, group, { ...options, firstResult })
    firstResult += group.pieces.length * group.numRows * numHeads
    return plan
  })
  return { groups: plans, resultRows: isInOrder ? null : own(ops.deviceInts(resultRows)) }
}

function planGroup(
  { ops, own }: PlanMaker,
  group: PieceGroup,
  options: PlanOptions & { readonly isInOrder: boolean },
): GroupPlan {
  const { numKvHeads } = options.kv.layout
  const { numHeads, hasSinks, isInOrder } = options
  const { pieces, numRows } = group
  const contextLen = group.contextLen + (hasSinks ? 1 : 0)
  const rowsPerHead = (numRows * numHeads) / numKvHeads
  const hasBothAxes = numRows > 1 && numHeads > numKvHeads
  return {
    numPieces: pieces.length,
    numRows,
    contextLen,
    hasBothAxes,
    queryRows: isInOrder
      ? null
      : own(ops.deviceInts(queryRows(group, options), [pieces.length, numKvHeads, rowsPerHead])),
    cacheRows: own(ops.deviceInts(cacheRows(group, contextLen, options), [pieces.length, numKvHeads, contextLen])),
    mask: own(createMask(ops, group, { contextLen, hasBothAxes, slidingWindow: options.slidingWindow })),
    isSink: hasSinks ? own(lastOnly(ops, contextLen)) : null,
  }
}

/** Within a key/value head: row by row, its query heads one after the other. Rows that pad repeat the piece's first. */
function queryRows({ pieces, numRows }: PieceGroup, { numHeads, kv }: PlanOptions): Int32Array {
  const { numKvHeads } = kv.layout
  const shared = numHeads / numKvHeads
  const rows = new Int32Array(pieces.length * numRows * numHeads)
  let at = 0
  for (const piece of pieces) {
    for (let head = 0; head < numKvHeads; head++) {
      for (let row = 0; row < numRows; row++) {
        const batchRow = piece.firstRow + (row < piece.numRows ? row : 0)
        for (let i = 0; i < shared; i++) rows[at++] = batchRow * numHeads + head * shared + i
      }
    }
  }
  return rows
}

function placeResults(
  resultRows: Int32Array,
  { pieces, numRows }: PieceGroup,
  { numHeads, kv, firstResult }: PlanOptions & { firstResult: number },
): void {
  const { numKvHeads } = kv.layout
  const shared = numHeads / numKvHeads
  pieces.forEach((piece, p) => {
    for (let row = 0; row < piece.numRows; row++) {
      for (let h = 0; h < numHeads; h++) {
        const kvHead = Math.floor(h / shared)
        const result = ((p * numKvHeads + kvHead) * numRows + row) * shared + (h % shared)
        resultRows[(piece.firstRow + row) * numHeads + h] = firstResult + result
      }
    }
  })
}

/** Keys that pad, and the sink's, are the slot of zeros. */
function cacheRows({ pieces }: PieceGroup, contextLen: number, { metadata, kv }: PlanOptions): Int32Array {
  const { blockSize, blockTables, maxBlocksPerSeq } = metadata
  const { numKvHeads } = kv.layout
  const rows = new Int32Array(pieces.length * numKvHeads * contextLen).fill(kv.zeroSlot * numKvHeads)
  pieces.forEach(({ sequence, contextStart, contextEnd }, p) => {
    const base = p * numKvHeads * contextLen
    for (let j = contextStart; j < contextEnd; j++) {
      const block = blockTables[sequence * maxBlocksPerSeq + Math.floor(j / blockSize)]!
      const slot = block * blockSize + (j % blockSize)
      const at = base + j - contextStart
      for (let head = 0; head < numKvHeads; head++) rows[at + head * contextLen] = slot * numKvHeads + head
    }
  })
  return rows
}

/** From each row's position in its own context; a row that pads has the first's, and sees as much as that one. */
function createMask(
  ops: OpScope,
  { pieces, numRows }: PieceGroup,
  {
    contextLen,
    hasBothAxes,
    slidingWindow,
  }: { contextLen: number; hasBothAxes: boolean; slidingWindow: number | null },
): TfeTensor {
  const positions = new Int32Array(pieces.length * numRows)
  pieces.forEach((piece, p) => {
    for (let row = 0; row < numRows; row++) {
      positions[p * numRows + row] = piece.position - piece.contextStart + (row < piece.numRows ? row : 0)
    }
  })
  const last = ops.deviceInts(positions, [pieces.length, 1, numRows, 1, ...(hasBothAxes ? [1] : [])])
  const keys = ops.deviceInts(Int32Array.from({ length: contextLen }, (_, j) => j))
  let isVisible = ops.run('LessEqual', [keys, last])
  if (slidingWindow !== null) {
    const before = ops.run('Sub', [last, ops.device.scalar(slidingWindow, tfDtype.int32)])
    isVisible = ops.run('LogicalAnd', [isVisible, ops.run('Greater', [keys, before])])
  }
  return ops.run('SelectV2', [isVisible, ops.device.scalar(0), ops.device.scalar(masked)])
}

function lastOnly(ops: OpScope, length: number): TfeTensor {
  const flags = Uint8Array.from({ length }, (_, i) => (i === length - 1 ? 1 : 0))
  return ops.cast(ops.bytes(flags, [length]), tfDtype.bool)
}
