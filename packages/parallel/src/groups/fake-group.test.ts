import { describe, expect, it } from 'vitest'
import { describeProcessGroup } from '../process-group.case.ts'
import { runPrograms } from '../process-group-programs.case.ts'
import { createFakeGroups } from './fake-group.ts'

describeProcessGroup({
  backend: 'fake',
  sizes: [2, 3, 4],
  knowsMissingRanks: true,
  async run(programs, size) {
    // A run starts again with each call: one program at a time.
    const byProgram = programs.map((name) => createFakeGroups(size).run((world) => runPrograms(world, [name])[0]))
    return Array.from({ length: size }, (_, rank) => byProgram.map((results) => results[rank]))
  },
})

describe('fake', () => {
  it('ranks in other calls than each other', () => {
    const names = createFakeGroups(2).run((world) => {
      try {
        world.allReduce(new Float32Array(world.rank + 1))
        return null
      } catch (error) {
        return error instanceof Error ? [error.name, error.message] : error
      }
    })
    expect(names).toEqual([
      [
        'CollectiveMismatchError',
        expect.stringContaining('rank 1 came with allReduce (8), this one with allReduce (4)'),
      ],
      [
        'CollectiveMismatchError',
        expect.stringContaining('rank 0 came with allReduce (4), this one with allReduce (8)'),
      ],
    ])
  })

  it('an error of a rank is an error of the run', () => {
    const groups = createFakeGroups(2)
    expect(() =>
      groups.run(({ rank }) => {
        if (rank === 1) throw new Error('rank 1 broke')
      }),
    ).toThrow('rank 1 broke')
  })

  it('looks for a message that never comes', () => {
    const seen = createFakeGroups(2).run((world) =>
      world.rank === 0 ? world.irecv(new Uint8Array(1), { src: 1 }).isCompleted() : null,
    )
    expect(seen).toEqual([false, null])
  })
})
