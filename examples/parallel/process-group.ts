// Four threads add up their numbers: process groups under the names of torch.distributed.
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { createThreadGroup, initDeviceMesh, initProcessGroup, type ThreadGroupHandle } from '@octavo/parallel'

const worldSize = 4

if (isMainThread) {
  const handle = createThreadGroup(worldSize)
  for (let rank = 0; rank < worldSize; rank++) new Worker(new URL(import.meta.url), { workerData: { handle, rank } })
} else {
  const { handle, rank } = workerData as { readonly handle: ThreadGroupHandle; readonly rank: number }
  const world = initProcessGroup({ backend: 'threads', handle, rank })
  const { coordinates, getGroup } = initDeviceMesh(world, { tp: 2, pp: 2 })
  const sum = Float32Array.of(10 ** rank)
  getGroup('tp').allReduce(sum)
  const all = new Float32Array(worldSize)
  world.allGatherIntoTensor(all, sum)
  if (rank === 0) console.log(`sums of the stages, rank by rank: ${all.join(', ')}`)
  world.barrier()
  if (rank === 3) console.log(`rank 3 is in stage ${coordinates.pp}, place ${coordinates.tp}`)
  world.destroy()
}
