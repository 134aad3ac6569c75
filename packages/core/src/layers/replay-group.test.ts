import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { ReplayGroup } from './replay-group.case.ts'

beforeAll(async () => {
  await setBackend((await createCpuPack()).name)
})

describe('ReplayGroup', () => {
  it('adds up in the order of ranks, rounding each time', () => {
    const values = [1, 2 ** -24, 2 ** -24] // from the other end they would be more than 1
    const results = new ReplayGroup(3)
    expect(
      results.run((rank) => results.communicators[rank]!.allReduce(tensor2d([[values[rank]!]])).dataSync()[0]),
    ).toEqual([1, 1, 1])
  })

  it('sends rows everywhere, none too', () => {
    const group = new ReplayGroup(2)
    const rows = (rank: number) => (rank === 0 ? tensor2d([1, 2, 3, 4], [2, 2]) : tensor2d([], [0, 2]))
    const counts = [
      { input: [0, 2], output: [0, 0] },
      { input: [0, 0], output: [2, 0] },
    ]
    const results = group.run((rank) => {
      const { input, output } = counts[rank]!
      const received = group.communicators[rank]!.allToAll(rows(rank), input, output)
      return { shape: received.shape, values: [...received.dataSync()] }
    })
    expect(results).toEqual([
      { shape: [0, 2], values: [] },
      { shape: [2, 2], values: [1, 2, 3, 4] },
    ])
  })

  it('tells ranks that do not agree', () => {
    const group = new ReplayGroup(2)
    const x = () => tensor2d([[1]])
    expect(() => group.run((rank) => (rank === 0 ? group.communicators[0]!.allReduce(x()).shape : []))).toThrow(
      'the ranks do not make the same calls',
    )
    const exchange = (rank: number) => group.communicators[rank]!.allToAll(x(), [0, 1], [0, 0]).shape
    expect(() => group.run(exchange)).toThrow('rank 0 sends 1 rows to rank 1, which expects 0')
  })
})
