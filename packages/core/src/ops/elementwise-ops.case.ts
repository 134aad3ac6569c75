import { add, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { activation, activationComposite } from './activation.ts'
import { expectClose, expectRowInvariance, expectSameBits, expectTensorsLeft, take } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { gatedActivation, gatedActivationComposite } from './gated-activation.ts'
import { layerNorm, layerNormComposite } from './layer-norm.ts'
import { mapValues } from './map-values.ts'
import { addRmsNorm, rmsNorm, rmsNormComposite } from './rms-norm.ts'
import { rotaryEmbedding, rotaryEmbeddingComposite } from './rotary-embedding.ts'

const shapes = [
  [1, 1],
  [1, 16],
  [3, 24],
  [2, 80],
  [5, 257],
  [17, 64],
] as const
const epsilon = 1e-5

/** The ops that treat rows one by one: norms, rotary embedding, activations. */
export function describeElementwiseOps(getPack: () => BackendPack): void {
  describe('norms', () => {
    it('rmsNorm equals its composite', () => {
      const random = new RandomData(10)
      for (const [n, features] of shapes) {
        const [x, weight] = [random.matrix(n, features, 3), random.vector(features)]
        expectClose(rmsNorm(x, weight, epsilon), rmsNormComposite(x, weight, epsilon))
        x.dispose()
        weight.dispose()
      }
    })

    it('rmsNorm keeps a row of zeros and a tiny row finite', () => {
      const random = new RandomData(11)
      const [x, weight] = [
        tensor2d([
          [0, 0, 0],
          [1e-20, 0, 0],
        ]),
        random.vector(3),
      ]
      expect([...take(rmsNorm(x, weight, epsilon))].every(Number.isFinite)).toBe(true)
      x.dispose()
      weight.dispose()
    })

    it('addRmsNorm is an addition and an rmsNorm, bit for bit', () => {
      const random = new RandomData(12)
      for (const [n, features] of shapes) {
        const [x, residual, weight] = [random.matrix(n, features), random.matrix(n, features), random.vector(features)]
        const { normed, sum } = addRmsNorm(x, residual, weight, epsilon)
        const plain = add<Tensor2D>(x, residual)
        expectSameBits(take(normed), take(rmsNorm(plain, weight, epsilon)), 'normed')
        expectSameBits(take(sum), take(plain), 'sum')
        for (const tensor of [x, residual, weight]) tensor.dispose()
      }
    })

    it('layerNorm equals its composite, with and without bias', () => {
      const random = new RandomData(13)
      for (const [n, features] of shapes) {
        const [x, weight, bias] = [random.matrix(n, features, 3), random.vector(features), random.vector(features)]
        expectClose(layerNorm(x, weight, bias, epsilon), layerNormComposite(x, weight, bias, epsilon))
        expectClose(layerNorm(x, weight, null, epsilon), layerNormComposite(x, weight, null, epsilon))
        for (const tensor of [x, weight, bias]) tensor.dispose()
      }
    })
  })

  describe('rotaryEmbedding', () => {
    const headDims = [
      [16, 16],
      [24, 24],
      [64, 32],
      [80, 20],
      [96, 96],
      [128, 128],
      [256, 64],
      [6, 2],
    ] as const

    it('equals its composite, whole or partial', () => {
      const random = new RandomData(14)
      for (const [headDim, rotaryDim] of headDims) {
        const n = random.integer(1, 9)
        const [x, table] = [random.matrix(n, headDim * random.integer(1, 4)), random.matrix(50, rotaryDim)]
        const positions = Int32Array.from({ length: n }, () => random.integer(0, 49))
        const options = { positions, headDim, rotaryDim }
        expectClose(rotaryEmbedding(x, table, options), rotaryEmbeddingComposite(x, table, options))
        x.dispose()
        table.dispose()
      }
    })

    it('rotates pairs that lie half a rotary dimension apart', () => {
      const x = tensor2d([[1, 2, 3, 4, 5]])
      const table = tensor2d([
        [1, 1, 0, 0],
        [0, 0, 1, 1],
      ])
      const options = { positions: Int32Array.of(1), headDim: 5, rotaryDim: 4 }
      expect([...take(rotaryEmbedding(x, table, options))]).toEqual([-3, -4, 1, 2, 5])
      x.dispose()
      table.dispose()
    })
  })

  describe('activations', () => {
    it.each(['gelu', 'gelu_tanh', 'silu', 'relu'] as const)('%s equals its composite', (kind) => {
      const random = new RandomData(15)
      for (const [n, features] of shapes) {
        const x = random.matrix(n, features, 6)
        expectClose(activation(x, kind), activationComposite(x, kind))
        x.dispose()
      }
    })

    it.each(['gelu', 'gelu_tanh', 'silu', 'swiglu_oss'] as const)('gated %s equals its composite', (kind) => {
      const random = new RandomData(16)
      for (const [n, features] of shapes) {
        const x = random.matrix(n, 2 * features, 10)
        expectClose(gatedActivation(x, kind), gatedActivationComposite(x, kind))
        x.dispose()
      }
    })

    it('gated relu is relu(gate) * up', () => {
      const x = tensor2d([
        [-1, 2, 3, 4],
        [0.5, -3, -2, 5],
      ])
      expect([...take(gatedActivation(x, 'relu'))].map((value) => value + 0)).toEqual([0, 8, -1, 0])
      expectTensorsLeft(() => [gatedActivation(x, 'relu')])
      x.dispose()
    })

    it('stay finite far from zero', () => {
      const x = tensor2d([[-1e4, -100, -20, 20, 100, 1e4]])
      for (const kind of ['gelu', 'gelu_tanh', 'silu'] as const) {
        const values = take(activation(x, kind))
        for (const [i, expected] of [0, 0, 0, 20, 100, 1e4].entries()) expect(values[i]).toBeCloseTo(expected, 4)
      }
      x.dispose()
    })
  })

  it('leave one tensor each', () => {
    const random = new RandomData(17)
    const [x, table, weight] = [random.matrix(3, 32), random.matrix(8, 16), random.vector(32)]
    expectTensorsLeft(() => {
      const { normed, sum } = addRmsNorm(x, x, weight, epsilon)
      const rotary = { positions: Int32Array.of(1, 2, 7), headDim: 16, rotaryDim: 16 }
      return [
        rmsNorm(x, weight, epsilon),
        normed,
        sum,
        layerNorm(x, weight, weight, epsilon),
        rotaryEmbedding(x, table, rotary),
        activation(x, 'gelu'),
        gatedActivation(x, 'silu'),
      ]
    })
    for (const tensor of [x, table, weight]) tensor.dispose()
  })

  it('mapValues is what the host writes, and leaves its input as it was', () => {
    const random = new RandomData(19)
    for (const [n, features] of shapes) {
      const values = random.floats(n * features)
      const x = add(tensor2d(values, [n, features]), 0) as Tensor2D
      const twice = (): Tensor2D =>
        mapValues(x, {
          shape: [2 * n, features],
          map(input, output) {
            output.set(input)
            output.set(input, input.length)
          },
        })
      expectTensorsLeft(() => [twice()])
      const results = [twice(), twice()]
      for (const result of results) {
        expect(result.shape).toEqual([2 * n, features])
        expectSameBits(take(result), Float32Array.of(...values, ...values), 'mapValues')
      }
      expectSameBits(take(x), values, 'its input')
    }
  })

  it('give every row the same bits in any batch', ({ skip }) => {
    if (!getPack().isBatchInvariant) skip('the pack does not promise batch invariance')
    const random = new RandomData(18)
    const features = 80
    const values = random.floats(23 * features, 3)
    const [weight, table] = [random.vector(features), random.matrix(64, 40)]
    const positions = Int32Array.from({ length: 23 }, () => random.integer(0, 63))
    expectRowInvariance(values, features, (x) => rmsNorm(x, weight, epsilon))
    expectRowInvariance(values, features, (x) => layerNorm(x, weight, weight, epsilon))
    expectRowInvariance(values, features, (x) => activation(x, 'gelu'))
    expectRowInvariance(values, features, (x) => gatedActivation(x, 'silu'))
    expectRowInvariance(values, features, (x) => gatedActivation(x, 'gelu_tanh'))
    expectRowInvariance(values, features, (x, first) =>
      rotaryEmbedding(x, table, {
        positions: positions.subarray(first, first + x.shape[0]),
        headDim: 40,
        rotaryDim: 40,
      }),
    )
    weight.dispose()
    table.dispose()
  })
}
