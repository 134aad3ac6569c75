import { cast, fused, matMul, memory, setBackend, tensor, tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import { RandomData } from '@octavo/core/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { testedAddon } from './tested-isas.case.ts'

const random = new RandomData(1)

function randomTensor(shape: readonly number[]): Tensor {
  return tensor(random.floats(shape.reduce((a, b) => a * b, 1)), [...shape])
}

/** The values of `run` on both backends, native first. */
async function onBoth(run: () => Tensor): Promise<{ shapes: number[][]; values: Float32Array[] }> {
  const shapes: number[][] = []
  const values: Float32Array[] = []
  for (const backend of ['native', 'cpu']) {
    await setBackend(backend)
    const result = run()
    shapes.push(result.shape)
    values.push(Float32Array.from(result.dataSync()))
    result.dispose()
  }
  await setBackend('native')
  return { shapes, values }
}

async function expectEqual(run: () => Tensor): Promise<void> {
  const { shapes, values } = await onBoth(run)
  expect(shapes[0]).toEqual(shapes[1])
  const largest = values[1]!.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  values[1]!.forEach((value, i) => expect(Math.abs(values[0]![i]! - value)).toBeLessThanOrEqual(1e-5 * largest))
}

describe.skipIf(testedAddon === null)("tfjs's matrix products on native", () => {
  beforeAll(async () => {
    await createNativePack()
    await setBackend('native')
  })
  afterAll(() => setBackend('cpu'))

  it.each([
    [1, 1, 1],
    [3, 5, 7],
    [1, 100, 33],
    [65, 64, 63],
  ])('[%i, %i] by %i columns, transposed in every way', async (m, k, n) => {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        const a = randomTensor(transposeA ? [k, m] : [m, k])
        const b = randomTensor(transposeB ? [n, k] : [k, n])
        await expectEqual(() => matMul(a, b, transposeA, transposeB))
        a.dispose()
        b.dispose()
      }
    }
  })

  it('batches, and repeats a batch of one', async () => {
    const [a, b, c, d] = [
      [4, 3, 5],
      [4, 5, 6],
      [1, 5, 6],
      [4, 5, 2],
    ].map(randomTensor) as [Tensor, Tensor, Tensor, Tensor]
    await expectEqual(() => matMul(a, b))
    await expectEqual(() => matMul(a, c))
    await expectEqual(() => matMul(c, d, true, false))
  })

  it('multiplies integers as tfjs does', async () => {
    const [a, b] = [
      tensor(
        Int32Array.from({ length: 3 * 70 }, (_, i) => i - 100),
        [3, 70],
        'int32',
      ),
      tensor(
        Int32Array.from({ length: 70 * 4 }, (_, i) => 12_345_678 * (i % 7)),
        [70, 4],
        'int32',
      ),
    ]
    const results: unknown[] = []
    for (const backend of ['native', 'cpu']) {
      await setBackend(backend)
      for (const result of [matMul(a!, b!), matMul(a!, a!, false, true)])
        results.push({ dtype: result.dtype, values: result.dataSync() })
    }
    await setBackend('native')
    expect(results.slice(0, 2)).toEqual(results.slice(2))
    expect(results[0]).toMatchObject({ dtype: 'int32' })
    // tfjs's `cast` leaves the integers where they are.
    await expectEqual(() => matMul(cast(a!, 'float32'), cast(b!, 'float32')))
  })

  it.each(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'leakyrelu', 'prelu'] as const)(
    'fuses a bias and %s, and leaves one tensor',
    async (activation) => {
      const [a, b] = [tensor2d(random.floats(12), [3, 4]), tensor2d(random.floats(20), [4, 5])]
      const bias = tensor1d(random.floats(5))
      const preluActivationWeights = tensor1d(random.floats(5))
      const before = memory().numTensors
      await expectEqual(() =>
        fused.matMul({ a, b, transposeA: false, transposeB: false, bias, activation, preluActivationWeights }),
      )
      expect(memory().numTensors).toBe(before)
    },
  )
})
