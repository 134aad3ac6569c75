import { cast, concat, getBackend, memory, setBackend, tensor } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import { RandomData } from '@octavo/core/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createNativePack } from '../native-pack.ts'
import { testedAddon } from '../tested-isas.case.ts'

const random = new RandomData(3)
const size = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1)
const floats = (shape: readonly number[]): Tensor => tensor(random.floats(size(shape)), [...shape])
const integers = (shape: readonly number[]): Tensor =>
  tensor(
    Int32Array.from({ length: size(shape) }, (_, i) => i),
    [...shape],
    'int32',
  )

interface Result {
  readonly shape: number[]
  readonly dtype: string
  readonly values: number[]
}

async function runOn(backend: string, parts: readonly Tensor[], axis: number): Promise<Result> {
  await setBackend(backend)
  const result = concat([...parts], axis)
  const { shape, dtype } = result
  const values = Array.from(result.dataSync())
  result.dispose()
  return { shape, dtype, values }
}

describe.skipIf(testedAddon === null)("tfjs's concat on native", () => {
  beforeAll(async () => {
    await createNativePack()
    await setBackend('native')
  })
  afterAll(() => setBackend('cpu'))

  it.each<[string, () => Tensor[], number]>([
    ['matrices side by side', () => [floats([5, 7]), floats([5, 1]), floats([5, 300])], 1],
    ['counted from the end', () => [floats([5, 7]), floats([5, 2])], -1],
    ['one row', () => [floats([1, 64]), floats([1, 32])], 1],
    ['no rows', () => [floats([0, 4]), floats([0, 3])], 1],
    ['a part without columns', () => [floats([3, 4]), floats([3, 0]), floats([3, 2])], 1],
    ['rows under rows', () => [floats([2, 6]), floats([3, 6])], 0],
    ['three axes', () => [floats([2, 3, 4]), floats([2, 5, 4])], 1],
    ['integers', () => [integers([3, 4]), integers([3, 2])], 1],
    ['integers cast to floats', () => [cast(integers([3, 4]), 'float32'), floats([3, 2])], 1],
  ])('%s', async (_, parts, axis) => {
    expect(getBackend()).toBe('native')
    const inputs = parts()
    const before = memory().numTensors
    const native = await runOn('native', inputs, axis)
    const expected = await runOn('cpu', inputs, axis)
    await setBackend('native')
    expect(native).toEqual(expected)
    expect(memory().numTensors).toBe(before)
    for (const input of inputs) input.dispose()
  })

  it('refuses matrices of unlike height', () => {
    expect(() => concat([floats([2, 3]), floats([3, 3])], 1)).toThrow(/shape|rows/i)
  })
})
