import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { initProcessGroup } from '../init-process-group.ts'
import { describeProcessGroup } from '../process-group.case.ts'
import { createThreadGroup } from './thread-memory.ts'
import type { ThreadGroupHandle } from './thread-memory.ts'
import { abortThreadGroup } from './thread-world.ts'

function startRank(handle: ThreadGroupHandle, rank: number, programs: readonly string[]): Promise<unknown[]> {
  const worker = new Worker(new URL('./thread-rank.case.ts', import.meta.url), {
    workerData: { handle, rank, programs },
  })
  return new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

describeProcessGroup({
  backend: 'threads',
  sizes: [2, 3, 4],
  knowsMissingRanks: true,
  run(programs, size) {
    const handle = createThreadGroup(size)
    return Promise.all(Array.from({ length: size }, (_, rank) => startRank(handle, rank, programs)))
  },
})

describe('threads', () => {
  it('a thread that is no rank can end the group', async () => {
    const handle = createThreadGroup(2)
    const ranks = [0, 1].map((rank) => startRank(handle, rank, rank === 0 ? ['watchdog'] : []))
    abortThreadGroup(handle, 'the watchdog barked')
    expect(await Promise.all(ranks)).toMatchObject([[[{ reason: 'the watchdog barked', abortedBy: null }]], []])
  })

  it('a group of one needs nobody', () => {
    const world = initProcessGroup({ backend: 'threads', handle: createThreadGroup(1), rank: 0 })
    const values = Float32Array.of(1, 2, 3)
    world.allReduce(values)
    world.barrier()
    expect([...values]).toEqual([1, 2, 3])
    expect(() => world.send(values, { dst: 0 })).toThrow('cannot send to itself')
  })

  it('ranks and sizes that make no sense are refused', () => {
    expect(() => createThreadGroup(0)).toThrow('worldSize: is 0')
    expect(() => createThreadGroup(65)).toThrow('1 to 64')
    const handle = createThreadGroup(2)
    expect(() => initProcessGroup({ backend: 'threads', handle, rank: 2 })).toThrow('0 to 1')
    expect(() => initProcessGroup({ backend: 'threads', handle, rank: 0, timeoutMs: 0 })).toThrow('timeoutMs: is 0')
    expect(() => initProcessGroup({ backend: 'threads', handle, rank: 0 }).newGroup([0, 0])).toThrow('[0, 0]')
  })
})
