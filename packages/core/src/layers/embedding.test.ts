import { fileURLToPath } from 'node:url'
import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { openGguf } from '../loading/gguf.ts'
import type { WeightSource } from '../loading/weight-source.ts'
import { singleRank } from './communicator.ts'
import type { Communicator } from './communicator.ts'
import { createEmbedding, createLmHead, createTiedLmHead } from './embedding.ts'
import type { Embedding } from './embedding.ts'
import { emptyContext } from './empty-context.case.ts'
import type { Linear } from './linear.ts'
import { MemoryWeights, randomValues } from './memory-weights.case.ts'
import { ReplayGroup } from './replay-group.case.ts'
import { WeightLoader } from './weight-loader.ts'

const context = emptyContext()
const hiddenSize = 64
const hidden = randomValues(2 * hiddenSize, 3)

let pack: BackendPack
let loaders: WeightLoader[] = []
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})
afterEach(() => {
  for (const loader of loaders) loader.dispose()
  loaders = []
  expect(pack.usedBytes).toBe(0)
})

interface Vocabulary {
  readonly embedding: Embedding
  readonly tied: Linear
  readonly head: Linear
  readonly numRows: number
}

function create(source: WeightSource, numEmbeddings: number, communicator: Communicator = singleRank): Vocabulary {
  const loader = new WeightLoader({ source, pack, dtype: 'auto', communicator })
  loaders.push(loader)
  const embedding = createEmbedding(loader, { prefix: 'model.embed_tokens', numEmbeddings, hiddenSize })
  const head = createLmHead(loader, { prefix: 'lm_head', numEmbeddings, hiddenSize })
  return { embedding, tied: createTiedLmHead(embedding), head, numRows: embedding.loaded.packed!.rows }
}

function use({ embedding, tied, head }: Vocabulary, ids: Int32Array): Record<'rows' | 'tied' | 'head', Float32Array> {
  const x = tensor2d(hidden, [2, hiddenSize])
  return {
    rows: embedding.forward(ids, context).dataSync<'float32'>().slice(),
    tied: tied.forward(x, context).dataSync<'float32'>().slice(),
    head: head.forward(x, context).dataSync<'float32'>().slice(),
  }
}

function check(source: WeightSource, numEmbeddings: number, sizes: readonly (readonly number[])[]): void {
  const ids = Int32Array.from({ length: 9 }, (_, i) => (i * 389 + numEmbeddings - 1) % numEmbeddings)
  const expected = new ReplayGroup(1).run(() => use(create(source, numEmbeddings), ids))[0]!
  for (const numRows of sizes) {
    const group = new ReplayGroup(numRows.length)
    const ranks = group.communicators.map((communicator) => create(source, numEmbeddings, communicator))
    expect(ranks.map((rank) => rank.numRows)).toEqual(numRows)
    for (const few of [ids, ids.subarray(0, 1)]) {
      const width = few.length * hiddenSize
      for (const { rows, tied, head } of group.run((rank) => use(ranks[rank]!, few))) {
        // Sums have no -0.
        expect(rows).toEqual(expected.rows.subarray(0, width).map((value) => value + 0))
        expect(tied).toEqual(expected.tied)
        expect(head).toEqual(expected.head)
      }
    }
  }
}

describe('embedding and head on several ranks', () => {
  it('have the bits of one rank, whatever does not divide', () => {
    const table = (seed: number) => ({ shape: [11, hiddenSize], values: randomValues(11 * hiddenSize, seed) })
    const source = new MemoryWeights({ 'model.embed_tokens.weight': table(1), 'lm_head.weight': table(2) })
    // Of five ranks one would have nothing: then all have everything.
    check(source, 11, [
      [6, 5],
      [4, 4, 3],
      [3, 3, 3, 2],
      [11, 11, 11, 11, 11],
    ])
  })

  it('share rows of blocks', () => {
    const path = fileURLToPath(new URL('../../../../fixtures/gguf/llama-q4_0.gguf', import.meta.url))
    const { weights } = openGguf(path)
    check(weights, 640, [[214, 214, 212]])
    weights.close()
  })
})
