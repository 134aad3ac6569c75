import { setBackend, tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import type { AttentionMetadata } from './attention-metadata.ts'
import { relativeError, take } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { pagedAttention, pagedAttentionComposite } from './paged-attention.ts'

let pack: BackendPack

beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})

const seqLen = 11
const queryLen = 6
const numHeads = 4
const numKvHeads = 2
const headDim = 8
const scale = 0.3

/** The definition, in float64: one sequence whose key `j` and value `j` are rows of plain arrays. */
function attend(
  query: Float32Array,
  keys: Float32Array,
  values: Float32Array,
  sinks: readonly number[] | null,
  window: number,
  cap: number,
): Float32Array {
  const out = new Float32Array(query.length)
  for (let i = 0; i < queryLen; i++) {
    const position = seqLen - queryLen + i
    for (let h = 0; h < numHeads; h++) {
      const kvHead = Math.floor((h * numKvHeads) / numHeads)
      const weights = Array.from({ length: seqLen }, (_, j) => {
        let score = 0
        for (let d = 0; d < headDim; d++) {
          score += query[(i * numHeads + h) * headDim + d]! * keys[(j * numKvHeads + kvHead) * headDim + d]!
        }
        const isVisible = j <= position && j > position - window
        return isVisible ? Math.exp(cap * Math.tanh((score * scale) / cap)) : 0
      })
      const total = weights.reduce((a, b) => a + b, sinks === null ? 0 : Math.exp(sinks[h]!))
      for (let d = 0; d < headDim; d++) {
        const mixed = weights.reduce(
          (sum, weight, j) => sum + weight * values[(j * numKvHeads + kvHead) * headDim + d]!,
          0,
        )
        out[(i * numHeads + h) * headDim + d] = mixed / total
      }
    }
  }
  return out
}

describe.each([
  ['pagedAttention', pagedAttention],
  ['its composite', pagedAttentionComposite],
])('%s computes the definition', (_, run) => {
  it.each([
    { slidingWindow: null, softcap: null, sinks: null },
    { slidingWindow: 4, softcap: null, sinks: null },
    { slidingWindow: 1, softcap: null, sinks: null },
    { slidingWindow: null, softcap: 0.5, sinks: null },
    { slidingWindow: null, softcap: null, sinks: [1, -2, 0, 5] },
    { slidingWindow: 3, softcap: 0.7, sinks: [0, 1, 2, 3] },
  ])('window $slidingWindow, softcap $softcap, sinks $sinks', ({ slidingWindow, softcap, sinks }) => {
    const random = new RandomData(60)
    const blockSize = 4
    const kv = pack.createKvStorage({ dtype: 'float32', numLayers: 1, numBlocks: 6, blockSize, numKvHeads, headDim })
    const blockTables = Int32Array.of(4, 0, 2, 0)
    const slots = Int32Array.from(
      { length: seqLen },
      (_, j) => blockTables[Math.floor(j / blockSize)]! * blockSize + (j % blockSize),
    )
    const width = numKvHeads * headDim
    const [keys, values] = [random.floats(seqLen * width, 2), random.floats(seqLen * width)]
    kv.writeRows(0, slots, keys, values)
    const metadata: AttentionMetadata = {
      numTokens: queryLen,
      numSeqs: 1,
      blockSize,
      queryStartLoc: Int32Array.of(0, queryLen),
      seqLens: Int32Array.of(seqLen),
      blockTables,
      maxBlocksPerSeq: 4,
      slotMapping: slots.slice(seqLen - queryLen),
      positions: Int32Array.from({ length: queryLen }, (_, i) => seqLen - queryLen + i),
    }
    const queryRows = random.floats(queryLen * numHeads * headDim, 2)
    const query = tensor2d(queryRows, [queryLen, numHeads * headDim])
    const sinkLogits = sinks === null ? null : tensor1d(sinks)
    const out = run(query, { kv, layer: 0, metadata, numHeads, scale, slidingWindow, softcap, sinks: sinkLogits })
    // Neither limit binds where it is off: a window of the whole sequence, a cap far above every score.
    const expected = attend(queryRows, keys, values, sinks, slidingWindow ?? seqLen, softcap ?? 1e6)
    expect(relativeError(take(out), expected)).toBeLessThan(1e-6)
    query.dispose()
    sinkLogits?.dispose()
    kv.dispose()
  })
})
