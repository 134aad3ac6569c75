/** One rank of the bench `collectives`, as a thread or as a process. */
import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { initProcessGroup } from '@octavo/parallel'
import type { ThreadGroupHandle } from '@octavo/parallel'
import { createRawAllReduce } from './raw-all-reduce.ts'

/** In bytes: a flag, a decode step's hidden states of 2048, 8 such, prefills. */
export const messageSizes = [4, 8192, 65_536, 2 ** 20, 2 ** 24]

/** Microseconds of each call, by size. */
export type RankTimes = number[][]

const numCalls = [2000, 2000, 1000, 200, 20]
const warmUpShare = 0.2

function measure(allReduce: (buffer: Float32Array) => void): RankTimes {
  return messageSizes.map((size, i) => {
    const buffer = new Float32Array(size / 4)
    const times: number[] = []
    const numWarmUps = Math.ceil(numCalls[i]! * warmUpShare)
    for (let call = -numWarmUps; call < numCalls[i]!; call++) {
      const start = performance.now()
      allReduce(buffer)
      if (call >= 0) times.push((performance.now() - start) * 1000)
    }
    return times
  })
}

if (!isMainThread) {
  const { handle, rank } = workerData as { handle: ThreadGroupHandle; rank: number }
  const group = initProcessGroup({ backend: 'threads', handle, rank })
  parentPort!.postMessage(measure((buffer) => group.allReduce(buffer)))
} else if (process.argv[2] === 'group') {
  const group = initProcessGroup({ backend: 'mpi' })
  const times = measure((buffer) => group.allReduce(buffer))
  if (group.rank === 0) process.stdout.write(JSON.stringify(times))
  group.destroy()
} else if (process.argv[2] === 'raw') {
  const raw = createRawAllReduce()
  const times = measure(raw.allReduce)
  if (raw.rank === 0) process.stdout.write(JSON.stringify(times))
  raw.finalize()
}
