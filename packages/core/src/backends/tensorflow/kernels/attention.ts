import { attentionKernel, sequencesOf } from '../../../ops/attention.ts'
import type { AttentionAttrs } from '../../../ops/attention.ts'
import { firstVisible, lastVisible } from '../../../ops/attention-sequence.ts'
import { assert } from '../../../util/assert.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import { tensorflowKernel } from '../tensorflow-kernel.ts'
import { boolAttr, tfDtype } from '../tf-op.ts'

/** Scores that are held at a time: 64 MiB in float32. */
const maxScores = 2 ** 24
const masked = -1e30

/** A sequence after the other, long ones in pieces of their queries; the softmax is float32. */
export const attentionConfig = tensorflowKernel<AttentionAttrs>(
  attentionKernel,
  ({ attrs, ops, input, optionalInput }) => {
    const query = input('query')
    const [key, value] = ['key', 'value'].map((name) => ops.cast(input(name), ops.device.computeDtype))
    assert(key !== undefined && value !== undefined, 'attention has keys and values')
    const factor = ops.device.scalar(attrs.scale / (attrs.softcap ?? 1), query.dtype)
    const queries = ops.cast(ops.run('Mul', [query, factor]), ops.device.computeDtype)
    const sinks = optionalInput('sinks')
    const outputs = sequencesOf(attrs).flatMap(({ firstQuery, numQueries, firstKey, numKeys }) => {
      if (numQueries === 0) return []
      const keys = keyHeads(ops, key, { firstKey, numKeys, numKvHeads: attrs.numKvHeads })
      const values = keyHeads(ops, value, { firstKey, numKeys, numKvHeads: attrs.numKvHeads })
      return piecesOf(numQueries, numKeys, attrs).map((piece) =>
        attendPiece(ops, { queries, keys, values, sinks, firstQuery }, { piece, attrs }),
      )
    })
    return ops.cast(ops.concat(outputs, 0), query.dtype)
  },
)

/** `numRows` of a sequence's queries, from `firstRow`, whose first stands at `position`; they see keys of `[start, end)`. */
interface Piece {
  readonly firstRow: number
  readonly numRows: number
  readonly position: number
  readonly start: number
  readonly end: number
}

function piecesOf(numQueries: number, numKeys: number, attrs: AttentionAttrs): Piece[] {
  const step = Math.max(1, Math.floor(maxScores / (attrs.numHeads * numKeys)))
  const pieces: Piece[] = []
  for (let firstRow = 0; firstRow < numQueries; firstRow += step) {
    const numRows = Math.min(step, numQueries - firstRow)
    const position = numKeys - numQueries + firstRow
    const start = firstVisible(position, attrs)
    pieces.push({ firstRow, numRows, position, start, end: lastVisible(position + numRows - 1, numKeys, attrs) + 1 })
  }
  return pieces
}

/** Rows of `x` `[numKvTokens, numKvHeads * headDim]` → `[numKvHeads, numKeys, headDim]`. */
function keyHeads(
  ops: OpScope,
  x: TfeTensor,
  { firstKey, numKeys, numKvHeads }: { firstKey: number; numKeys: number; numKvHeads: number },
): TfeTensor {
  const rows = ops.slice(x, [firstKey, 0], [numKeys, -1])
  return ops.run('Transpose', [ops.reshape(rows, [numKeys, numKvHeads, -1]), ops.hostInts([1, 0, 2])])
}

interface PieceTensors {
  readonly queries: TfeTensor // [numTokens, numHeads * headDim], scaled
  readonly keys: TfeTensor // [numKvHeads, numKeys, headDim]
  readonly values: TfeTensor
  readonly sinks: TfeTensor | null
  /** The sequence's first row of `queries`. */
  readonly firstQuery: number
}

const transposeKeys = [boolAttr('adj_y', true)]

/** → `[numRows, numHeads * headDim]` */
function attendPiece(
  ops: OpScope,
  { queries, keys, values, sinks, firstQuery }: PieceTensors,
  { piece, attrs }: { piece: Piece; attrs: AttentionAttrs },
): TfeTensor {
  const { numHeads, numKvHeads } = attrs
  const { firstRow, numRows, start, end } = piece
  const rows = ops.slice(queries, [firstQuery + firstRow, 0], [numRows, -1])
  const heads = ops.run('Transpose', [ops.reshape(rows, [numRows, numHeads, -1]), ops.hostInts([1, 0, 2])])
  const seen = (x: TfeTensor): TfeTensor => ops.slice(x, [0, start, 0], [-1, end - start, -1])
  const grouped = ops.reshape(heads, [numKvHeads, -1, heads.shape[2]!])
  const scores = ops.run('BatchMatMulV2', [grouped, seen(keys)], transposeKeys)
  const weights = softmax(ops, scores, { piece, attrs, sinks })
  const shared = ops.reshape(ops.cast(weights, ops.device.computeDtype), scores.shape)
  const attended = ops.run('BatchMatMulV2', [shared, seen(values)])
  for (const handle of [scores, weights, shared]) ops.free(handle)
  const perHead = ops.reshape(attended, heads.shape)
  return ops.reshape(ops.run('Transpose', [perHead, ops.hostInts([1, 0, 2])]), rows.shape)
}

/** Scores of the piece → probabilities `[numHeads, numRows, end - start]`. */
function softmax(
  ops: OpScope,
  scores: TfeTensor,
  { piece, attrs, sinks }: { piece: Piece; attrs: AttentionAttrs; sinks: TfeTensor | null },
): TfeTensor {
  const { numRows, start, end } = piece
  const { numHeads, softcap } = attrs
  let logits = ops.reshape(ops.cast(scores, tfDtype.float32), [numHeads, numRows, end - start])
  const next = (name: string, ...inputs: [] | [TfeTensor]): void => {
    const last = logits
    logits = ops.run(name, [last, ...inputs])
    ops.free(last)
  }
  if (softcap !== null) {
    next('Tanh')
    next('Mul', ops.device.scalar(softcap))
  }
  const mask = createMask(ops, piece, attrs)
  if (mask !== null) next('AddV2', mask)
  if (sinks === null) {
    next('Softmax')
    return logits
  }
  const column = ops.reshape(sinks, [numHeads, 1, 1])
  const columns = ops.run('BroadcastTo', [column, ops.hostInts([numHeads, numRows, 1])])
  const last = logits
  logits = ops.concat([last, columns], 2)
  ops.free(last)
  next('Softmax')
  return ops.slice(logits, [0, 0, 0], [-1, -1, end - start])
}

/** `[numRows, end - start]`: 0 where the row may look, a number far below any score elsewhere; null where it may look everywhere. */
function createMask(
  ops: OpScope,
  { numRows, position, start, end }: Piece,
  { isCausal, slidingWindow }: AttentionAttrs,
): TfeTensor | null {
  if (!isCausal && slidingWindow === null) return null
  const integer = (value: number): TfeTensor => ops.device.scalar(value, tfDtype.int32)
  const positions = ops.deviceInts(
    Int32Array.from({ length: numRows }, (_, i) => position + i),
    [numRows, 1],
  )
  const keys = ops.deviceInts(Int32Array.from({ length: end - start }, (_, j) => start + j))
  const bounds: TfeTensor[] = []
  if (isCausal) bounds.push(ops.run('LessEqual', [keys, positions]))
  if (slidingWindow !== null) {
    bounds.push(ops.run('Greater', [keys, ops.run('Sub', [positions, integer(slidingWindow)])]))
    if (!isCausal) bounds.push(ops.run('Less', [keys, ops.run('AddV2', [positions, integer(slidingWindow)])]))
  }
  const isVisible = bounds.reduce((a, b) => ops.run('LogicalAnd', [a, b]))
  return ops.run('SelectV2', [isVisible, ops.device.scalar(0), ops.device.scalar(masked)])
}
