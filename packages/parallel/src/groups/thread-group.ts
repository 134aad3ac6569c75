import { InvalidConfigError } from '@octavo/core'
import type { ProcessGroup, WorldProcessGroup } from '../process-group.ts'
import { CheckedGroup } from './checked-group.ts'
import { checkNewGroup, hashOf } from './new-group.ts'
import { createSumKernel } from './sum-kernel.ts'
import type { SumKernel } from './sum-kernel.ts'
import { groupLayout, groupsOffset } from './thread-memory.ts'
import type { ThreadGroupHandle } from './thread-memory.ts'
import { ThreadTransport } from './thread-transport.ts'
import { ThreadWorld } from './thread-world.ts'

export interface ThreadGroupOptions {
  /** From `createThreadGroup`, the same one for all ranks. */
  readonly handle: ThreadGroupHandle
  readonly rank: number
  readonly timeoutMs: number
}

/** The ranks are worker threads of one process. */
export class ThreadProcessGroup extends CheckedGroup implements WorldProcessGroup {
  readonly #world: ThreadWorld
  readonly #sum: SumKernel
  readonly #transport: ThreadTransport
  readonly #timeoutMs: number
  /** Where the next group goes, the same on all ranks because all make the same calls. */
  #nextStart: number

  constructor({ handle, rank, timeoutMs }: ThreadGroupOptions) {
    const { worldSize, memory } = handle
    if (!Number.isSafeInteger(rank) || rank < 0 || rank >= worldSize)
      throw new InvalidConfigError('rank', `is ${rank}, but the group's ranks are 0 to ${worldSize - 1}.`)
    const world = new ThreadWorld(handle, rank)
    const sum = createSumKernel(memory)
    const ranks = Array.from({ length: worldSize }, (_, i) => i)
    const start = groupsOffset(worldSize)
    const transport = new ThreadTransport({ world, sum, start, ranks })
    super({ backend: 'threads', transport, rank, ranks, worldSize, timeoutMs })
    this.#world = world
    this.#sum = sum
    this.#transport = transport
    this.#timeoutMs = timeoutMs
    this.#nextStart = start + groupLayout(worldSize).totalBytes
  }

  newGroup(ranks: readonly number[]): ProcessGroup | null {
    checkNewGroup(ranks, this.size)
    const start = this.#nextStart
    const { totalBytes } = groupLayout(ranks.length)
    if (start + totalBytes > this.#world.buffer.byteLength)
      throw new InvalidConfigError('ranks', 'there is no room for another group beside those that this world has.')
    this.#nextStart += totalBytes
    this.call('newGroup', {}, (call) => this.#transport.meet(call, hashOf(ranks)))
    if (!ranks.includes(this.rank)) return null
    const transport = new ThreadTransport({ world: this.#world, sum: this.#sum, start, ranks })
    const place = ranks.indexOf(this.rank)
    return new CheckedGroup({
      backend: 'threads',
      transport,
      rank: place,
      ranks,
      worldSize: this.size,
      timeoutMs: this.#timeoutMs,
    })
  }
}
