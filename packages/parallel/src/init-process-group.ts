import { InvalidConfigError } from '@octavo/core'
import { MpiProcessGroup } from './groups/mpi-group.ts'
import { ThreadProcessGroup } from './groups/thread-group.ts'
import type { ThreadGroupHandle } from './groups/thread-memory.ts'
import { defaultTimeoutMs } from './process-group.ts'
import type { ProcessGroup, WorldProcessGroup } from './process-group.ts'

interface CommonGroupOptions {
  /** Deadline of a call that sets none of its own: 60 seconds unless given. */
  readonly timeoutMs?: number
}

export interface InitThreadGroupOptions extends CommonGroupOptions {
  readonly backend: 'threads'
  /** From `createThreadGroup` on the thread that started the ranks. */
  readonly handle: ThreadGroupHandle
  readonly rank: number
}

export interface InitMpiGroupOptions extends CommonGroupOptions {
  /** In a process that `mpirun` or `mpiexec` started; all its calls come from the thread that makes this one. */
  readonly backend: 'mpi'
  /** Lets another thread of the process end the group: from `createAbortFlag`. */
  readonly abortFlag?: SharedArrayBuffer
}

export type InitProcessGroupOptions = InitThreadGroupOptions | InitMpiGroupOptions

/** The group of all ranks, on a rank's own thread. */
export function initProcessGroup({
  timeoutMs = defaultTimeoutMs,
  ...options
}: InitProcessGroupOptions): WorldProcessGroup {
  if (!(timeoutMs > 0) || timeoutMs > 2 ** 31 - 1)
    throw new InvalidConfigError('timeoutMs', `is ${timeoutMs}; it must be more than 0 and less than 2^31.`)
  return options.backend === 'threads'
    ? new ThreadProcessGroup({ ...options, timeoutMs })
    : new MpiProcessGroup({ ...options, timeoutMs })
}

/** The group of `ranks`, or `null` where this rank is none of them. Every rank of the world makes the same calls. */
export function newGroup(world: WorldProcessGroup, ranks: readonly number[]): ProcessGroup | null {
  return world.newGroup(ranks)
}
