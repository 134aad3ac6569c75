import { describe, expect, it } from 'vitest'
import { initDeviceMesh, meshCoordinates, meshGroups, resolveMeshSizes } from './device-mesh.ts'
import { createFakeGroups } from './groups/fake-group.ts'

describe('resolveMeshSizes', () => {
  it('fills in ones', () => {
    expect(resolveMeshSizes({ tp: 2 }, 2)).toEqual({ dp: 1, pp: 1, tp: 2, ep: 1 })
    expect(resolveMeshSizes({ ep: 3, pp: 2 }, 6)).toEqual({ dp: 1, pp: 2, tp: 1, ep: 3 })
    expect(resolveMeshSizes({ tp: 2, ep: 2 }, 2)).toEqual({ dp: 1, pp: 1, tp: 2, ep: 2 })
  })

  it.each([
    [{ tp: 2, pp: 2 }, 3, 'worldSize: is 3, but dp 1 × pp 2 × max(tp 2, ep 1) = 4 ranks'],
    [{ tp: 2, ep: 4 }, 4, 'ep: is 4 with tp 2. Pass ep 1, ep 2, or tp 1.'],
    [{ pp: 0 }, 1, 'pp: is 0'],
    [{ pp: 1.5 }, 1, 'pp: is 1.5'],
  ])('refuses %o for %i ranks', (sizes, worldSize, message) => {
    expect(() => resolveMeshSizes(sizes, worldSize)).toThrow(message)
  })
})

describe('meshGroups', () => {
  const sizes = { dp: 2, pp: 2, tp: 2, ep: 1 }
  it.each([
    [
      'tp',
      [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
      ],
    ],
    [
      'pp',
      [
        [0, 2],
        [1, 3],
        [4, 6],
        [5, 7],
      ],
    ],
    [
      'dp',
      [
        [0, 4],
        [1, 5],
        [2, 6],
        [3, 7],
      ],
    ],
    ['ep', [[0], [1], [2], [3], [4], [5], [6], [7]]],
  ] as const)('along %s', (dimension, groups) => {
    expect(meshGroups(sizes, dimension)).toEqual(groups)
  })

  it('has experts beside replicated attention', () => {
    const sizes = { dp: 1, pp: 2, tp: 1, ep: 2 }
    expect(meshGroups(sizes, 'ep')).toEqual([
      [0, 1],
      [2, 3],
    ])
    expect(meshGroups(sizes, 'tp')).toEqual([[0], [1], [2], [3]])
    expect(meshGroups(sizes, 'pp')).toEqual([
      [0, 2],
      [1, 3],
    ])
    expect(meshCoordinates(sizes, 3)).toEqual({ dp: 0, pp: 1, tp: 0, ep: 1 })
  })
})

describe('initDeviceMesh', () => {
  it('gives every rank its groups, and those of the same ranks once', () => {
    const seen = createFakeGroups(4).run((world) => {
      const mesh = initDeviceMesh(world, { pp: 2, tp: 2, ep: 2 })
      const sum = Int32Array.of(world.rank)
      mesh.getGroup('pp').allReduce(sum)
      return [mesh.coordinates, mesh.getGroup('tp').ranks, sum[0], mesh.getGroup('tp') === mesh.getGroup('ep')]
    })
    expect(seen).toEqual([
      [{ dp: 0, pp: 0, tp: 0, ep: 0 }, [0, 1], 2, true],
      [{ dp: 0, pp: 0, tp: 1, ep: 1 }, [0, 1], 4, true],
      [{ dp: 0, pp: 1, tp: 0, ep: 0 }, [2, 3], 2, true],
      [{ dp: 0, pp: 1, tp: 1, ep: 1 }, [2, 3], 4, true],
    ])
  })

  it('needs no group where one is the world', () => {
    const [isWorld] = createFakeGroups(2).run((world) => initDeviceMesh(world, { tp: 2 }).getGroup('tp') === world)
    expect(isWorld).toBe(true)
  })
})
