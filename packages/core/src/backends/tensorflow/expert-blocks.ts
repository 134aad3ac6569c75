import { assert } from '../../util/assert.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import type { OpScope } from './op-scope.ts'
import { boolAttr, tfDtype } from './tf-op.ts'

/** How many tokens choose among how many experts. */
export interface RoutingSize {
  readonly numTokens: number
  readonly topK: number
  readonly numExperts: number
}

/** Rows of one expert each, in blocks of one size, so that no shape depends on what was chosen. */
export interface BlockShape {
  readonly numBlocks: number
  readonly blockRows: number
}

/** Which token stands in which block. */
export interface ExpertBlocks extends BlockShape {
  /** Each block's expert `[numBlocks]`, whole numbers in float32. */
  readonly experts: TfeTensor
  /** The token of each row `[numBlocks * blockRows]`, int32; null where rows are the choices `[n, topK]` in order. */
  readonly tokens: TfeTensor | null
  /** The row of each choice `[n * topK]`, int32; null likewise. */
  readonly places: TfeTensor | null
}

/**
 * The cheapest shape that holds any choice. `weightRows`: with how many rows an expert's weights take as long to fetch as
 * to multiply. Few tokens get a block per choice, some a block per expert that all of them fit in, and many a few blocks
 * per expert.
 */
export function chooseBlockShape(size: RoutingSize, weightRows: number): BlockShape {
  const { numTokens } = size
  let best = blockShape(size, 1)
  const cost = ({ numBlocks, blockRows }: BlockShape): number => numBlocks * (weightRows + blockRows)
  for (let rows = 2; rows < 2 * numTokens; rows *= 2) {
    const shape = blockShape(size, Math.min(rows, numTokens))
    if (cost(shape) < cost(best)) best = shape
  }
  return best
}

/** Every expert that is chosen may have one block that is not full; a token chooses an expert once. */
function blockShape({ numTokens, topK, numExperts }: RoutingSize, blockRows: number): BlockShape {
  const numChoices = numTokens * topK
  const numChosen = Math.min(numChoices, numExperts)
  const numFull = blockRows >= numTokens ? 0 : Math.floor((numChoices - numChosen) / blockRows)
  return { blockRows, numBlocks: blockRows === 1 ? numChoices : numFull + numChosen }
}

/** Sorts the choices `expertIds` `[n, topK]` (whole numbers in float32) by expert: a counting sort, with nothing read back. */
export function layOutBlocks(ops: OpScope, expertIds: TfeTensor, size: RoutingSize, shape: BlockShape): ExpertBlocks {
  const { numTokens, topK, numExperts } = size
  const { numBlocks, blockRows } = shape
  const numChoices = numTokens * topK
  if (blockRows === 1) return { ...shape, experts: ops.reshape(expertIds, [numChoices]), tokens: null, places: null }
  assert(numBlocks * blockRows < 2 ** 24, 'a mixture of experts has more rows than float32 counts')
  const isChosen = ops.run('Equal', [ops.reshape(expertIds, [numChoices, 1]), indices(ops, numExperts)])
  const chosen = ops.cast(isChosen, tfDtype.float32) // [numChoices, numExperts]
  const counts = ops.run('Sum', [chosen, ops.hostInt(0)])
  // Sizes come in too many values for the device's scalars. The half keeps quotients away from whole numbers.
  const scalar = (value: number): TfeTensor => ops.floats(Float32Array.of(value), [])
  const padded = ops.run('AddV2', [counts, scalar(blockRows - 0.5)])
  const numBlocksOf = ops.run('Floor', [ops.run('RealDiv', [padded, scalar(blockRows)])])
  const ends = ops.run('Cumsum', [numBlocksOf, ops.hostInt(0)])
  const firstRows = ops.run('Mul', [ops.run('Sub', [ends, numBlocksOf]), scalar(blockRows)])
  const rows = ops.run('AddV2', [ops.run('Cumsum', [chosen, ops.hostInt(0)], exclusive), firstRows])
  const places = ops.run('Sum', [ops.run('Mul', [chosen, rows]), ops.hostInt(1)])
  return {
    ...shape,
    experts: expertOfBlocks(ops, ends, { numBlocks, numExperts }),
    tokens: tokenOfRows(ops, places, { ...size, numRows: numBlocks * blockRows }),
    places: ops.cast(places, tfDtype.int32),
  }
}

const exclusive = [boolAttr('exclusive', true)]

/** Blocks behind the last expert's hold nothing that is used: any expert will do. */
function expertOfBlocks(
  ops: OpScope,
  ends: TfeTensor,
  { numBlocks, numExperts }: { numBlocks: number; numExperts: number },
): TfeTensor {
  const isBehind = ops.run('LessEqual', [ends, ops.reshape(indices(ops, numBlocks), [numBlocks, 1])])
  const numBehind = ops.run('Sum', [ops.cast(isBehind, tfDtype.float32), ops.hostInt(1)])
  return ops.run('Minimum', [numBehind, ops.device.scalar(numExperts - 1)])
}

/** Rows without a choice get the first token. */
function tokenOfRows(
  ops: OpScope,
  places: TfeTensor,
  { numTokens, topK, numRows }: RoutingSize & { numRows: number },
): TfeTensor {
  const numChoices = numTokens * topK
  const token = ops.reshape(indices(ops, numTokens), [numTokens, 1])
  const tokens = ops.reshape(ops.run('Tile', [token, ops.hostInts([1, topK])]), [numChoices])
  const at = ops.cast(ops.reshape(places, [numChoices, 1]), tfDtype.int32)
  return ops.cast(ops.run('ScatterNd', [at, tokens, ops.hostInts([numRows])]), tfDtype.int32)
}

/** 0, 1, … as float32, made on the device. */
function indices(ops: OpScope, count: number): TfeTensor {
  const ones = ops.run('Fill', [ops.hostInts([count]), ops.device.scalar(1)])
  return ops.run('Cumsum', [ones, ops.hostInt(0)], exclusive)
}
