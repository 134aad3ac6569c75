import { setBackend } from '@tensorflow/tfjs-core'
import { engine } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { routeTokens } from '../../ops/moe-routing.ts'
import { RandomData } from '../../ops/random-data.case.ts'
import { assert } from '../../util/assert.ts'
import { chooseBlockShape, layOutBlocks } from './expert-blocks.ts'
import type { RoutingSize } from './expert-blocks.ts'
import { routeOnDevice } from './expert-routing.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpScope } from './op-scope.ts'
import { skipReason } from './tensorflow-available.case.ts'
import { isTensorflowBackend, readFloats } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

describe('chooseBlockShape', () => {
  const shapeOf = (numTokens: number, topK: number, numExperts: number) =>
    chooseBlockShape({ numTokens, topK, numExperts }, 32)

  it('gives few tokens a block per choice, some one per expert, many several', () => {
    expect(shapeOf(1, 8, 128)).toEqual({ blockRows: 1, numBlocks: 8 })
    expect(shapeOf(16, 2, 8)).toEqual({ blockRows: 16, numBlocks: 8 })
    const { blockRows, numBlocks } = shapeOf(512, 8, 128)
    expect(blockRows).toBeLessThan(512)
    // Dense would be 65,536 rows, and 4,096 are needed.
    expect(blockRows * numBlocks).toBeLessThan(3 * 4096)
  })
})

describe.skipIf(skipReason !== null)('routing on the device', () => {
  let backend: TensorflowBackend

  beforeAll(async () => {
    await setBackend((await createTensorflowPack()).name)
    const active: unknown = engine().backend
    assert(isTensorflowBackend(active), 'the tensorflow backend is not active')
    backend = active
  })

  const numbers = (ops: OpScope, handle: TfeTensor): number[] => [...readFloats(ops, handle)]

  it.each([
    ['softmax', true],
    ['softmax', false],
    ['softmax_topk', false],
    ['softmax_topk', true],
  ] as const)('chooses and weighs as on the host: %s, renormalize %s', (scoring, renormalize) => {
    const random = new RandomData(60)
    const [n, numExperts] = [9, 16]
    const logits = random.floats(n * numExperts, 6)
    // Ties: the lower index wins. And a row whose exponentials would overflow.
    logits.fill(1.5, 0, numExperts)
    logits[numExperts + 3] = 200
    for (const topK of [1, 4, 16]) {
      const options = { topK, scoring, renormalize }
      const expected = routeTokens(logits, numExperts, options)
      withOps(backend, (ops) => {
        const routed = routeOnDevice(ops, ops.floats(logits, [n, numExperts]), options)
        const [ids, weights] = [numbers(ops, routed.expertIds), numbers(ops, routed.weights)]
        for (let token = 0; token < n; token++) {
          const row = ids.slice(token * topK, (token + 1) * topK)
          const chosen = [...expected.expertIds.subarray(token * topK, (token + 1) * topK)]
          expect([...row].sort((a, b) => a - b)).toEqual(chosen)
          chosen.forEach((expert, i) =>
            expect(weights[token * topK + row.indexOf(expert)]).toBeCloseTo(expected.weights[token * topK + i]!, 5),
          )
        }
      })
    }
  })

  it('lays every choice into a block of its expert, however uneven', () => {
    const random = new RandomData(61)
    const sizes: RoutingSize[] = [
      { numTokens: 5, topK: 1, numExperts: 4 },
      { numTokens: 24, topK: 3, numExperts: 8 },
      { numTokens: 200, topK: 2, numExperts: 8 },
    ]
    for (const size of sizes) {
      const { numTokens, topK, numExperts } = size
      for (const spread of [numExperts, topK]) {
        const choices = Array.from({ length: numTokens }, () => {
          const first = random.integer(0, spread - 1)
          return Array.from({ length: topK }, (_, i) => (first + i) % numExperts)
        })
        for (const weightRows of [1, 32, 4096]) {
          const shape = chooseBlockShape(size, weightRows)
          withOps(backend, (ops) => {
            const ids = ops.floats(Float32Array.from(choices.flat()), [numTokens, topK])
            const blocks = layOutBlocks(ops, ids, size, shape)
            const experts = numbers(ops, blocks.experts)
            expect(experts).toHaveLength(shape.numBlocks)
            const places = blocks.places === null ? choices.flat().map((_, i) => i) : numbers(ops, blocks.places)
            expect(new Set(places).size).toBe(numTokens * topK)
            places.forEach((place, i) => expect(experts[Math.floor(place / shape.blockRows)]).toBe(choices.flat()[i]))
            if (blocks.tokens === null) return
            const tokens = numbers(ops, blocks.tokens)
            places.forEach((place, i) => expect(tokens[place]).toBe(Math.floor(i / topK)))
          })
        }
      }
    }
  })
})
