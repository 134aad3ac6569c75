/** A rank of the shared suite, as a worker thread: runs the programs it is told and posts their results. */
import { parentPort, workerData } from 'node:worker_threads'
import { initProcessGroup } from '../init-process-group.ts'
import { runPrograms } from '../process-group-programs.case.ts'
import type { ThreadGroupHandle } from './thread-memory.ts'

const { handle, rank, programs } = workerData as { handle: ThreadGroupHandle; rank: number; programs: string[] }
const world = initProcessGroup({ backend: 'threads', handle, rank, timeoutMs: 60_000 })
parentPort!.postMessage(runPrograms(world, programs))
