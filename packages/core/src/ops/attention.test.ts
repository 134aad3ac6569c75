import { grad, memory, setBackend, sum, tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { attention, attentionComposite } from './attention.ts'
import type { AttentionAttrs } from './attention.ts'
import { relativeError, take } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'

beforeAll(async () => {
  await createCpuPack()
  await setBackend('cpu')
  await registerGradients()
})

const numQueries = 6
const numKeys = 11
const numHeads = 4
const numKvHeads = 2
const headDim = 8
const scale = 0.3

interface Definition extends Pick<AttentionAttrs, 'isCausal' | 'slidingWindow' | 'softcap'> {
  readonly sinks: readonly number[] | null
}

/** The definition, in float64: one sequence whose key `j` and value `j` are rows of plain arrays. */
function attend(
  query: Float32Array,
  { keys, values }: { keys: Float32Array; values: Float32Array },
  { isCausal, slidingWindow, softcap, sinks }: Definition,
): Float32Array {
  const out = new Float32Array(query.length)
  for (let i = 0; i < numQueries; i++) {
    const position = numKeys - numQueries + i
    for (let h = 0; h < numHeads; h++) {
      const kvHead = Math.floor((h * numKvHeads) / numHeads)
      const weights = Array.from({ length: numKeys }, (_, j) => {
        if (isCausal && j > position) return 0
        if (slidingWindow !== null && Math.abs(position - j) >= slidingWindow) return 0
        let score = 0
        for (let d = 0; d < headDim; d++)
          score += query[(i * numHeads + h) * headDim + d]! * keys[(j * numKvHeads + kvHead) * headDim + d]!
        return Math.exp(softcap === null ? score * scale : softcap * Math.tanh((score * scale) / softcap))
      })
      const total = weights.reduce((a, b) => a + b, sinks === null ? 0 : Math.exp(sinks[h]!))
      for (let d = 0; d < headDim; d++) {
        const mix = (mixed: number, weight: number, j: number): number =>
          mixed + weight * values[(j * numKvHeads + kvHead) * headDim + d]!
        out[(i * numHeads + h) * headDim + d] = weights.reduce(mix, 0) / total
      }
    }
  }
  return out
}

describe.each([
  ['attention', attention],
  ['its composite', attentionComposite],
])('%s computes the definition', (_, run) => {
  it.each<Definition>([
    { isCausal: true, slidingWindow: null, softcap: null, sinks: null },
    { isCausal: false, slidingWindow: null, softcap: null, sinks: null },
    { isCausal: true, slidingWindow: 3, softcap: null, sinks: null },
    { isCausal: false, slidingWindow: 3, softcap: null, sinks: null },
    { isCausal: false, slidingWindow: 1, softcap: null, sinks: null },
    { isCausal: false, slidingWindow: null, softcap: 0.5, sinks: [1, -2, 0, 5] },
    { isCausal: false, slidingWindow: 4, softcap: 0.7, sinks: [0, 1, 2, 3] },
  ])('causal $isCausal, window $slidingWindow, softcap $softcap, sinks $sinks', (definition) => {
    const random = new RandomData(76)
    const query = random.floats(numQueries * numHeads * headDim, 2)
    const [keys, values] = [
      random.floats(numKeys * numKvHeads * headDim, 2),
      random.floats(numKeys * numKvHeads * headDim),
    ]
    const inputs = {
      query: tensor2d(query, [numQueries, numHeads * headDim]),
      key: tensor2d(keys, [numKeys, numKvHeads * headDim]),
      value: tensor2d(values, [numKeys, numKvHeads * headDim]),
      sinks: definition.sinks === null ? null : tensor1d([...definition.sinks]),
    }
    const { isCausal, slidingWindow, softcap } = definition
    const starts = { queryStartLoc: Int32Array.of(0, numQueries), keyStartLoc: Int32Array.of(0, numKeys) }
    const out = run(inputs, { ...starts, numHeads, numKvHeads, scale, isCausal, slidingWindow, softcap })
    expect(relativeError(take(out), attend(query, { keys, values }, definition))).toBeLessThan(1e-6)
    for (const tensor of Object.values(inputs)) tensor?.dispose()
  })
})

describe('attention under a gradient tape', () => {
  it('keeps its inputs and nothing of the size of its scores', () => {
    const n = 128
    const starts = Int32Array.of(0, n)
    const attrs = { numHeads: 1, numKvHeads: 1, scale: 1, isCausal: true, slidingWindow: null, softcap: null }
    const x = new RandomData(77).matrix(n, 4)
    let keptBytes = 0
    const gradient = grad((rows: Tensor) => {
      const before = memory().numBytes
      const inputs = { query: rows as Tensor2D, key: rows as Tensor2D, value: rows as Tensor2D, sinks: null }
      const out = attention(inputs, { ...attrs, queryStartLoc: starts, keyStartLoc: starts })
      keptBytes = memory().numBytes - before
      return sum(out)
    })(x)
    // The output, and three clones of inputs, which share their memory; scores alone would be n * n elements.
    expect(keptBytes).toBe(4 * n * 4 * Float32Array.BYTES_PER_ELEMENT)
    for (const tensor of [x, gradient]) tensor.dispose()
  })
})
