import { tensor, tensor2d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createFakeGroups } from './groups/fake-group.ts'
import { createCommunicator } from './tensor-communicator.ts'

const numbers = (length: number, from: number) => Array.from({ length }, (_, i) => from + i)

function onRanks(size: number, body: (communicator: ReturnType<typeof createCommunicator>) => Tensor): unknown[] {
  return createFakeGroups(size).run((world) =>
    tidy(() => {
      const result = body(createCommunicator(world))
      return { shape: result.shape, dtype: result.dtype, values: [...result.dataSync()] }
    }),
  )
}

describe('createCommunicator', () => {
  it('sums without touching what it was given', () => {
    const results = createFakeGroups(3).run((world) =>
      tidy(() => {
        const x = tensor([1, world.rank], [2, 1])
        const sum = createCommunicator(world).allReduce(x)
        return [sum.shape, [...sum.dataSync()], [...x.dataSync()]]
      }),
    )
    expect(results).toEqual(
      [0, 1, 2].map((rank) => [
        [2, 1],
        [3, 3],
        [1, rank],
      ]),
    )
  })

  it.each([
    [0, [4, 3, 2], [...numbers(12, 0), ...numbers(12, 100)]],
    [1, [2, 6, 2], [...numbers(6, 0), ...numbers(6, 100), ...numbers(6, 6), ...numbers(6, 106)]],
    [2, [2, 3, 4], numbers(6, 0).flatMap((i) => [2 * i, 2 * i + 1, 100 + 2 * i, 101 + 2 * i])],
  ])('gathers along axis %i', (axis, shape, values) => {
    const results = onRanks(2, (communicator) =>
      communicator.allGather(tensor(numbers(12, communicator.rank * 100), [2, 3, 2]), axis),
    )
    expect(results).toEqual([0, 1].map(() => ({ shape, dtype: 'float32', values })))
  })

  it('keeps integers integers, and gathers nothing from nothing', () => {
    const results = onRanks(2, ({ rank, allGather }) => allGather(tensor([rank], [1], 'int32'), 0))
    expect(results).toEqual([0, 1].map(() => ({ shape: [2], dtype: 'int32', values: [0, 1] })))
    const empty = onRanks(2, ({ allGather }) => allGather(tensor([], [0, 3]), 1))
    expect(empty).toEqual([0, 1].map(() => ({ shape: [0, 6], dtype: 'float32', values: [] })))
  })

  it('sends rows to ranks, none to some', () => {
    const rows = [
      [0, 2],
      [1, 0],
    ]
    const results = onRanks(2, ({ rank, allToAll }) => {
      const sent = rows[rank]!
      const numRows = sent[0]! + sent[1]!
      return allToAll(tensor2d(numbers(numRows * 2, rank * 100), [numRows, 2]), sent, [
        rows[0]![rank]!,
        rows[1]![rank]!,
      ])
    })
    expect(results).toEqual([
      { shape: [1, 2], dtype: 'float32', values: [100, 101] },
      { shape: [2, 2], dtype: 'float32', values: [0, 1, 2, 3] },
    ])
  })

  it('has nothing to do alone', () => {
    const x = tensor([1])
    const [isSame] = createFakeGroups(1).run((world) => createCommunicator(world).allReduce(x) === x)
    expect(isSame).toBe(true)
    x.dispose()
  })
})
