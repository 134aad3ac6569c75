import { add, engine, reshape, setBackend, slice, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import { activationKernel } from '@octavo/core/backend'
import { describe, expect, it } from 'vitest'
import { ArrayPool } from './array-pool.ts'
import { createNativePack } from './native-pack.ts'
import { testedAddon } from './tested-isas.case.ts'

const numElements = 100 * 100

describe('ArrayPool', () => {
  it('gives the memory of large arrays again, for lengths of nearly the same size', () => {
    const pool = new ArrayPool(1e6)
    const first = pool.take(10_000)
    expect(first).toHaveLength(10_000)
    const { buffer } = first
    pool.give(first)
    const second = pool.take(9_900)
    expect(second.buffer).toBe(buffer)
    expect(second).toHaveLength(9_900)
    expect(pool.take(9_900).buffer).not.toBe(buffer)
  })

  it('keeps no more than its limit', () => {
    const pool = new ArrayPool(100_000)
    const arrays = [pool.take(20_000), pool.take(20_000)]
    for (const array of arrays) pool.give(array)
    expect(arrays.map(({ buffer }) => buffer.byteLength > 0)).toEqual([true, false])
  })
})

describe.skipIf(testedAddon === null)('memory of disposed tensors', () => {
  const relu = (x: Tensor): Tensor => engine().runKernel<Tensor>(activationKernel, { x }, { kind: 'relu' })

  it('is used again unless somebody may still look at it', async () => {
    await createNativePack()
    await setBackend('native')
    const ones = tensor2d(new Float32Array(numElements).fill(1), [100, 100])
    const twos = tensor2d(new Float32Array(numElements).fill(2), [100, 100])
    // Each makes a tensor of ones, disposes it, and returns what was seen of it before.
    const glances: ((x: Tensor) => Float32Array)[] = [
      (x) => x.dataSync<'float32'>(),
      (x) => slice(x, [10, 0], [20, 100]).dataSync<'float32'>(),
      (x) => reshape(x, [numElements]).dataSync<'float32'>(),
      (x) => x.clone().dataSync<'float32'>(),
      (x) => add(x, 0).dataSync<'float32'>(),
    ]
    for (const glance of glances) {
      const x = relu(ones)
      const seen = glance(x)
      x.dispose()
      for (let i = 0; i < 5; i++) relu(twos).dispose()
      expect(seen.every((value) => value === 1)).toBe(true)
    }
    await setBackend('cpu')
  })

  it('does not depend on which of two names of the same data goes first', async () => {
    await createNativePack()
    await setBackend('native')
    const ones = tensor2d(new Float32Array(numElements).fill(1), [100, 100])
    const x = relu(ones)
    const view = reshape(x, [numElements])
    x.dispose()
    for (let i = 0; i < 5; i++) relu(tensor2d(new Float32Array(numElements).fill(2), [100, 100])).dispose()
    expect(view.dataSync<'float32'>().every((value) => value === 1)).toBe(true)
    await setBackend('cpu')
  })
})
