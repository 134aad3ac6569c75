import { attentionKernel, sequencesOf } from '../../../ops/attention.ts'
import type { AttentionAttrs } from '../../../ops/attention.ts'
import { alignUp } from '../../../util/math.ts'
import { matrixShape } from '../../matrix-shape.ts'
import { wasmKernel } from '../wasm-kernel.ts'

/** The window of attention without one. */
export const unlimited = 0x7fffffff

/** The kernel of paged attention, with all of a sequence's keys as its only block. */
export const attentionConfig = wasmKernel<AttentionAttrs>(attentionKernel, ({ inputs, attrs, runtime }) => {
  const { numHeads, numKvHeads, scale, isCausal } = attrs
  const [numTokens, width] = matrixShape(inputs.query)
  const headDim = width / numHeads
  const [rowBytes, tokenBytes] = [numHeads, numKvHeads].map((heads) => heads * headDim * Float32Array.BYTES_PER_ELEMENT)
  const window = attrs.slidingWindow ?? unlimited
  const sequences = sequencesOf(attrs)

  const out = runtime.createOutput(numTokens, width)
  const numKeys = sequences.map((sequence) => sequence.numKeys)
  const scoreStride = scoreRowBytes(numKeys, isCausal ? window : 2 * window - 1)
  const [scores = 0, table = 0] = runtime.heap.scratch(2 * scoreStride, Int32Array.BYTES_PER_ELEMENT)
  runtime.heap.ints(table, 1)[0] = 0
  const [query, key, value] = [inputs.query, inputs.key, inputs.value].map((input) => runtime.pointerOf(input))
  const sinks = runtime.optionalPointerOf(inputs.sinks)
  for (const sequence of sequences) {
    if (sequence.numQueries === 0) continue
    runtime.kernels.attendSequence(
      out.pointer + sequence.firstQuery * rowBytes!,
      query! + sequence.firstQuery * rowBytes!,
      sequence.numQueries,
      sequence.numKeys,
      table,
      key! + sequence.firstKey * tokenBytes!,
      value! + sequence.firstKey * tokenBytes!,
      sequence.numKeys,
      numHeads,
      numKvHeads,
      headDim,
      scale,
      isCausal,
      window,
      attrs.softcap ?? 0,
      sinks,
      scores,
      scoreStride,
    )
  }
  return out.tensor
})

/** One row of scores: the keys seen, at most `maxVisible`, padded to lanes at both ends. */
export function scoreRowBytes(numKeys: Iterable<number>, maxVisible: number): number {
  let longest = 0
  for (const count of numKeys) longest = Math.max(longest, Math.min(maxVisible, count))
  return alignUp(longest + 6, 4) * Float32Array.BYTES_PER_ELEMENT
}
