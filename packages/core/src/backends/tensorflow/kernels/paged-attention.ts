import { pagedAttentionKernel } from '../../../ops/paged-attention.ts'
import type { PagedAttentionAttrs } from '../../../ops/paged-attention.ts'
import { assert } from '../../../util/assert.ts'
import { planAttention } from '../attention-plan.ts'
import type { AttentionPlan, GroupPlan } from '../attention-plan.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import type { OpScope } from '../op-scope.ts'
import type { StepConstants } from '../step-constants.ts'
import { asTfKv, tensorflowKernel } from '../tensorflow-kernel.ts'
import type { TfKvStorage } from '../tf-kv-storage.ts'
import { boolAttr, tfDtype } from '../tf-op.ts'

/** One op of ours that reads the cache in place; or gathers each group's keys and values and attends with batched products. The softmax is float32. */
export const pagedAttentionConfig = tensorflowKernel<PagedAttentionAttrs>(
  pagedAttentionKernel,
  ({ attrs, ops, steps, input, optionalInput }) => {
    const { metadata, numHeads, scale, softcap } = attrs
    const kv = asTfKv(attrs.kv)
    const { headDim } = kv.layout
    const query = input('query')
    const sinks = optionalInput('sinks')
    if (canFuse(ops, query, headDim)) {
      return kv.attend(ops, attrs.layer, { query, rest: fusedInputs(ops, attrs, { steps, kv, sinks }) })
    }
    const plan = planOf(ops, attrs, { steps, kv, hasSinks: sinks !== null })
    // Scaled here, where it takes fewer products than on the scores.
    const scaled = ops.run('Mul', [query, ops.device.scalar(scale / (softcap ?? 1), query.dtype)])
    const queries = ops.cast(scaled, ops.device.computeDtype)
    const isGathered = plan.groups.some(({ queryRows }) => queryRows !== null)
    const heads = isGathered ? ops.reshape(queries, [metadata.numTokens * numHeads, headDim]) : queries
    const results = plan.groups.map((group) => attendGroup(ops, heads, { ...attrs, kv, group, sinks }))
    return ops.cast(inBatchOrder(ops, results, plan, [metadata.numTokens, numHeads * headDim]), query.dtype)
  },
)

/** As wide as the op's heads may be. */
const maxFusedHeadDim = 1024

function canFuse(ops: OpScope, query: TfeTensor, headDim: number): boolean {
  const isFloat32 = query.dtype === tfDtype.float32 && ops.device.computeDtype === tfDtype.float32
  return isFloat32 && headDim <= maxFusedHeadDim && ops.has('OctavoPagedAttention')
}

/** What the op takes behind the cache: a plan of integers, scale and softcap, and the sinks where there are some. */
function fusedInputs(
  ops: OpScope,
  { metadata, numHeads, scale, softcap, slidingWindow }: PagedAttentionAttrs,
  { steps, kv, sinks }: { steps: StepConstants; kv: TfKvStorage; sinks: TfeTensor | null },
): TfeTensor[] {
  const { numKvHeads, headDim } = kv.layout
  const plan = steps.get(ops, metadata, {
    name: `fused ${numHeads} ${numKvHeads} ${headDim} ${slidingWindow}`,
    make(own, keep) {
      const { blockSize, numSeqs, maxBlocksPerSeq, queryStartLoc, seqLens, blockTables } = metadata
      const numbers = [numHeads, numKvHeads, headDim, blockSize, slidingWindow ?? 0, numSeqs, maxBlocksPerSeq]
      const lists = [
        queryStartLoc.subarray(0, numSeqs + 1),
        seqLens.subarray(0, numSeqs),
        blockTables.subarray(0, numSeqs * maxBlocksPerSeq),
      ]
      return keep(own.deviceInts(Int32Array.from([numbers, ...lists].flatMap((list) => [...list]))))
    },
  })
  const factors = steps.get(ops, metadata, {
    name: `factors ${scale} ${softcap}`,
    make: (own, keep) => keep(own.floats(Float32Array.of(scale, softcap ?? 0))),
  })
  return [plan, factors, ...(sinks === null ? [] : [sinks])]
}

function planOf(
  ops: OpScope,
  { metadata, numHeads, slidingWindow }: PagedAttentionAttrs,
  { steps, kv, hasSinks }: { steps: StepConstants; kv: TfKvStorage; hasSinks: boolean },
): AttentionPlan {
  const { numKvHeads, headDim, numBlocks } = kv.layout
  return steps.get(ops, metadata, {
    name: `attention ${numHeads} ${numKvHeads} ${headDim} ${numBlocks} ${slidingWindow} ${hasSinks}`,
    make: (scope, own) =>
      planAttention(
        { ops: scope, own },
        { metadata, kv, numHeads, slidingWindow, hasSinks, kvWidth: numKvHeads * headDim },
      ),
  })
}

interface GroupAttention extends Pick<PagedAttentionAttrs, 'layer' | 'numHeads' | 'softcap'> {
  readonly kv: TfKvStorage
  readonly group: GroupPlan
  readonly sinks: TfeTensor | null
}

const transposeKeys = [boolAttr('adj_y', true)]

/** heads `[numTokens * numHeads, headDim]` → `[numPieces, numKvHeads, numRows * heads that share, headDim]`. */
function attendGroup(ops: OpScope, heads: TfeTensor, attention: GroupAttention): TfeTensor {
  const { kv, group, layer, numHeads } = attention
  const { numKvHeads, headDim } = kv.layout
  const { numPieces, numRows, queryRows } = group
  const rowsPerHead = (numRows * numHeads) / numKvHeads
  const queries =
    queryRows === null
      ? ops.reshape(heads, [numPieces, numKvHeads, rowsPerHead, headDim])
      : ops.gather(heads, queryRows)
  const keys = computable(ops, kv.gatherKeys(ops, layer, group.cacheRows)) // [numPieces, numKvHeads, contextLen, headDim]
  const scores = ops.run('BatchMatMulV2', [queries, keys], transposeKeys)
  ops.free(keys)
  const weights = ops.cast(softmax(ops, scores, attention), ops.device.computeDtype)
  const values = computable(ops, kv.gatherValues(ops, layer, group.cacheRows))
  const attended = ops.run('BatchMatMulV2', [weights, values])
  ops.free(values)
  ops.free(weights)
  return attended
}

/** What the cache holds, which is freed, in the dtype of products. */
function computable(ops: OpScope, gathered: TfeTensor): TfeTensor {
  const cast = ops.cast(gathered, ops.device.computeDtype)
  if (cast !== gathered) ops.free(gathered)
  return cast
}

/** Scores `[numPieces, numKvHeads, numRows * heads that share, contextLen]`, which are freed, → probabilities. */
function softmax(ops: OpScope, scores: TfeTensor, { group, kv, numHeads, softcap, sinks }: GroupAttention): TfeTensor {
  const { numPieces, numRows, contextLen, isSink, mask, hasBothAxes } = group
  const { numKvHeads } = kv.layout
  const shared = numHeads / numKvHeads
  let logits = ops.cast(scores, tfDtype.float32)
  const next = (name: string, ...inputs: [] | [TfeTensor]): void => {
    const last = logits
    logits = ops.run(name, [last, ...inputs])
    ops.free(last)
  }
  if (hasBothAxes) logits = ops.reshape(logits, [numPieces, numKvHeads, numRows, shared, contextLen])
  if (softcap !== null) {
    next('Tanh')
    next('Mul', ops.device.scalar(softcap))
  }
  next('AddV2', mask)
  if (sinks !== null) {
    assert(isSink !== null, 'a plan with sinks has their key')
    const perHead = ops.reshape(sinks, [1, numKvHeads, ...(hasBothAxes ? [1] : []), shared, 1])
    logits = ops.run('SelectV2', [isSink, perHead, logits])
  }
  next('Softmax')
  ops.free(scores)
  return hasBothAxes ? ops.reshape(logits, scores.shape) : logits
}

function inBatchOrder(
  ops: OpScope,
  results: readonly TfeTensor[],
  { resultRows }: AttentionPlan,
  [numTokens, width]: [number, number],
): TfeTensor {
  if (resultRows === null) return ops.reshape(ops.concat(results, 0), [numTokens, width])
  const headDim = results[0]?.shape.at(-1) ?? 0
  const flat = ops.concat(
    results.map((result) => ops.reshape(result, [-1, headDim])),
    0,
  )
  return ops.reshape(ops.gather(flat, resultRows), [numTokens, width])
}
