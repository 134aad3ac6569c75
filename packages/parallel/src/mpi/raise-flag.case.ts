/** The other thread of a rank, which ends the group. */
import { workerData } from 'node:worker_threads'
import { raiseAbortFlag } from './mpi-world.ts'

raiseAbortFlag(workerData as SharedArrayBuffer, 'the watchdog barked')
