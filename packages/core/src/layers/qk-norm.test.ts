import { memory, setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { singleRank } from './communicator.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import { createQkNorm } from './qk-norm.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { shareHeads } from './shard.ts'
import { WeightLoader } from './weight-loader.ts'

const headDim = 4
const numTokens = 3

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})

/** `[numTokens, heads * headDim]`, of some heads. */
function headsOf(values: Float32Array, heads: number, { first, count }: { first: number; count: number }) {
  const rows = Array.from({ length: numTokens }, (_, token) => {
    const row = values.subarray(token * heads * headDim, (token + 1) * heads * headDim)
    return [...row.subarray(first * headDim, (first + count) * headDim)]
  })
  return tensor2d(rows.flat(), [numTokens, count * headDim])
}

it.each([
  { size: 2, numHeads: 4, numKvHeads: 4, hasUnitOffset: false },
  { size: 4, numHeads: 4, numKvHeads: 2, hasUnitOffset: true },
  { size: 4, numHeads: 4, numKvHeads: 1, hasUnitOffset: false },
])('a norm over whole projections on $size ranks of $numKvHeads key heads', (options) => {
  const { size, numHeads, numKvHeads } = options
  const [queries, keys] = [
    randomValues(numTokens * numHeads * headDim, 1),
    randomValues(numTokens * numKvHeads * headDim, 2),
  ]
  const vector = (length: number, seed: number) => ({ shape: [length], values: randomValues(length, seed) })
  const source = new MemoryWeights({
    'q.weight': vector(numHeads * headDim, 3),
    'k.weight': vector(numKvHeads * headDim, 4),
  })
  const { numTensors } = memory()
  const group = new ReplayGroup(size)
  const loaders = [singleRank, ...group.communicators].map(
    (communicator) => new WeightLoader({ source, pack, dtype: 'auto', communicator }),
  )
  const norms = loaders.map((loader) =>
    createQkNorm(loader, { ...options, over: 'projection', qPrefix: 'q', kPrefix: 'k', epsilon: 1e-5, headDim }),
  )
  const run = (index: number, share: ReturnType<typeof shareHeads>) => {
    const { query, key } = norms[index]!.forward(
      headsOf(queries, numHeads, { first: share.firstHead, count: share.numHeads }),
      headsOf(keys, numKvHeads, { first: share.firstKvHead, count: share.numKvHeads }),
    )
    return { query: query.dataSync<'float32'>().slice(), key: key.dataSync<'float32'>().slice() }
  }
  const [whole] = new ReplayGroup(1).run(() => run(0, shareHeads(options, singleRank)))
  const results = group.run((rank) => run(rank + 1, shareHeads(options, { rank, size })))
  results.forEach(({ query, key }, rank) => {
    const share = shareHeads(options, { rank, size })
    const expectedQuery = headsOf(whole!.query, numHeads, { first: share.firstHead, count: share.numHeads })
    const expectedKey = headsOf(whole!.key, numKvHeads, { first: share.firstKvHead, count: share.numKvHeads })
    query.forEach((value, i) => expect(value).toBeCloseTo(expectedQuery.dataSync()[i]!, 5))
    key.forEach((value, i) => expect(value).toBeCloseTo(expectedKey.dataSync()[i]!, 5))
    expectedQuery.dispose()
    expectedKey.dispose()
  })
  for (const loader of loaders) loader.dispose()
  expect(memory().numTensors).toBe(numTensors)
})
