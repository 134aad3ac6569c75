import type { ProcessGroup, WorldProcessGroup } from '../process-group.ts'
import { loadMpi, undefinedColor } from '../mpi/mpi-binding.ts'
import { MpiWorld } from '../mpi/mpi-world.ts'
import { CheckedGroup } from './checked-group.ts'
import { MpiTransport } from './mpi-transport.ts'
import { checkNewGroup } from './new-group.ts'

export interface MpiGroupOptions {
  readonly abortFlag?: SharedArrayBuffer
  readonly timeoutMs: number
}

/** The ranks are processes that an MPI launcher started. */
export class MpiProcessGroup extends CheckedGroup implements WorldProcessGroup {
  readonly #world: MpiWorld
  readonly #timeoutMs: number

  constructor({ abortFlag, timeoutMs }: MpiGroupOptions) {
    const world = new MpiWorld({ mpi: loadMpi(), timeoutMs, ...(abortFlag && { abortFlag }) })
    const { rank, size } = world
    const ranks = Array.from({ length: size }, (_, i) => i)
    const transport = new MpiTransport({ world, comm: world.mpi.world, ranks, isWorld: true })
    super({ backend: 'mpi', transport, rank, ranks, worldSize: size, timeoutMs })
    this.#world = world
    this.#timeoutMs = timeoutMs
  }

  /** As it calls itself: `Open MPI 4.1.4`. */
  get library(): string {
    const { name, version } = this.#world.mpi
    return `${name} ${version}`
  }

  newGroup(ranks: readonly number[]): ProcessGroup | null {
    checkNewGroup(ranks, this.size)
    const place = ranks.indexOf(this.rank)
    const comm = this.#world.mpi.newCell()
    this.call('newGroup', {}, (call) => {
      // MPI_Comm_split has no deadline of its own.
      this.#world.barrier(call, this.#world.mpi.world)
      const color = place === -1 ? undefinedColor : 0
      this.#world.check(call, this.#world.mpi.commSplit(this.#world.mpi.world, color, place, comm))
    })
    if (place === -1) return null
    return new CheckedGroup({
      backend: 'mpi',
      transport: new MpiTransport({ world: this.#world, comm: comm[0]!, ranks, isWorld: false }),
      rank: place,
      ranks,
      worldSize: this.size,
      timeoutMs: this.#timeoutMs,
    })
  }
}
