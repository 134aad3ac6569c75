import { sampleKernel } from '@octavo/core/backend'
import type { SampleAttrs, SampleRow } from '@octavo/core/backend'
import { matrixShape, nativeKernel, valuesOf } from '../native-kernel.ts'

export const sampleConfig = nativeKernel<SampleAttrs>(sampleKernel, ({ inputs, attrs: { rows }, backend }) => {
  const [, vocabSize] = matrixShape(inputs.logits)
  const tokenIds = new Int32Array(rows.length)
  const biases = rows.flatMap(({ draw }) => draw.biases)
  const biasStarts = startsOf(rows, ({ draw }) => draw.biases.length)
  const seenStarts = startsOf(rows, ({ draw }) => draw.seen?.tokenIds.length ?? 0)
  const seenIds = new Int32Array(seenStarts[rows.length]!)
  const seenCounts = new Int32Array(seenIds.length)
  rows.forEach(({ draw: { seen } }, i) => {
    if (seen === null) return
    seenIds.set(seen.tokenIds, seenStarts[i])
    seenCounts.set(seen.counts, seenStarts[i])
  })
  const maskStarts = startsOf(rows, ({ draw }) => draw.mask?.length ?? 0)
  const masks = new Int32Array(maskStarts[rows.length]!)
  rows.forEach(({ draw: { mask } }, i) => mask && masks.set(mask, maskStarts[i]))
  backend.pool.sampleRows(
    tokenIds,
    valuesOf(backend, inputs.logits),
    vocabSize,
    Float64Array.from(rows.flatMap((row) => paramsOf(row, vocabSize))),
    biasStarts,
    Int32Array.from(biases, ({ tokenId }) => tokenId),
    Float64Array.from(biases, ({ value }) => value),
    seenStarts,
    seenIds,
    seenCounts,
    maskStarts,
    masks,
  )
  return backend.makeTensorInfo([rows.length], 'int32', tokenIds)
})

function paramsOf(row: SampleRow, vocabSize: number): number[] {
  const { scale, minPOffset, topK, topP, uniform, repetitionPenalty, frequencyPenalty, presencePenalty } = row.draw
  const truncation = [scale ?? 0, minPOffset, Math.min(topK, vocabSize), topP, uniform]
  return [row.row, ...truncation, repetitionPenalty, frequencyPenalty, presencePenalty]
}

/** Where each row's entries begin in a list of all rows' entries; the last one is the list's length. */
function startsOf(rows: readonly SampleRow[], lengthOf: (row: SampleRow) => number): Int32Array {
  const starts = new Int32Array(rows.length + 1)
  rows.forEach((row, i) => (starts[i + 1] = starts[i]! + lengthOf(row)))
  return starts
}
