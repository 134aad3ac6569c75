/** A rank of the shared suite, as a process: runs the programs that it is told and leaves their results in a file. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { initProcessGroup } from '../init-process-group.ts'
import { createAbortFlag } from './mpi-world.ts'
import { runPrograms } from '../process-group-programs.case.ts'

const [, , folder = '', programs = '[]'] = process.argv
const abortFlag = createAbortFlag()
const world = initProcessGroup({ backend: 'mpi', timeoutMs: 60_000, abortFlag })
// Rank 0 has a thread beside it, as ranks have one that talks to the driver.
if (programs.includes('watchdog') && world.rank === 0)
  new Worker(new URL('./raise-flag.case.ts', import.meta.url), { workerData: abortFlag }).unref()
const fileOf = (rank: number) => join(folder, `${rank}.json`)
const sleeper = new Int32Array(new SharedArrayBuffer(4))

writeFileSync(fileOf(world.rank), JSON.stringify(runPrograms(world, JSON.parse(programs) as string[])))
// A launcher ends all ranks when one leaves without MPI_Finalize, which a group that was ended cannot call.
const deadline = Date.now() + 60_000
while (
  Date.now() < deadline &&
  !Array.from({ length: world.size }, (_, rank) => rank).every((rank) => existsSync(fileOf(rank)))
)
  Atomics.wait(sleeper, 0, 0, 20)
try {
  world.destroy()
} catch {}
process.exit(0)
