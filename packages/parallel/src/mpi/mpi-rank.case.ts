/** A rank of the shared suite, as a process: runs the programs that it is told and leaves their results in a file. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { initProcessGroup } from '../init-process-group.ts'
import { runPrograms } from '../process-group-programs.case.ts'

const [, , folder = '', programs = '[]'] = process.argv
const world = initProcessGroup({ backend: 'mpi', timeoutMs: 60_000 })
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
