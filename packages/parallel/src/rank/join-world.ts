import type { ControlAddress } from '../control/control-server.ts'
import type { ThreadGroupHandle } from '../groups/thread-memory.ts'
import { initProcessGroup } from '../init-process-group.ts'
import type { WorldProcessGroup } from '../process-group.ts'
import type { RankSetup } from './rank-messages.ts'

/** Until the first of launched ranks has found its model, and downloaded it if need be, the others wait for it. */
const launchTimeoutMs = 6 * 3600_000
const addressBytes = 1024

/** MPI can be initialized once in a process. */
let launchedWorld: WorldProcessGroup | null = null

export function joinWorld(setup: RankSetup): WorldProcessGroup {
  const { rank, threadGroup, collectiveTimeoutMs: timeoutMs } = setup
  if (launchedWorld !== null) return launchedWorld
  if (threadGroup === null) return initProcessGroup({ backend: 'mpi', timeoutMs })
  return initProcessGroup({ backend: 'threads', handle: threadGroup as ThreadGroupHandle, rank, timeoutMs })
}

/** Among ranks that somebody else started: the first one says to all where its driver is. */
export function shareAddress(address: ControlAddress | null): ControlAddress {
  launchedWorld ??= initProcessGroup({ backend: 'mpi', timeoutMs: launchTimeoutMs })
  // Space behind JSON is no part of it.
  const bytes = new Uint8Array(addressBytes).fill(32)
  if (address !== null) new TextEncoder().encodeInto(JSON.stringify(address), bytes)
  launchedWorld.broadcast(bytes, { src: 0 })
  return JSON.parse(new TextDecoder().decode(bytes)) as ControlAddress
}
