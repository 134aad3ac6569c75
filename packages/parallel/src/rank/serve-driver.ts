import os from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { serialize } from 'node:v8'
import { toTransferredError } from '@octavo/core/engine'
import { callBack } from '../control/control-client.ts'
import { ControlConnection } from '../control/control-connection.ts'
import type { ControlAddress } from '../control/control-server.ts'
import { ComputeThread } from '../launch/compute-thread.ts'
import type { FromRank, Hello } from './rank-messages.ts'

/** What a rank's process is started with. */
export interface DriverMessage {
  readonly address: ControlAddress
  readonly heartbeatTimeoutMs: number
}

/** How long a driver may take to end a rank that has failed. */
const failureDelayMs = 5000

/**
 * Serves the driver as one of its ranks until it lets this process go. The process ends with it, whatever the thread that
 * computes is inside of.
 */
export async function serveDriver(rank: number, { address, heartbeatTimeoutMs }: DriverMessage): Promise<void> {
  const ended = Promise.withResolvers<void>()
  const socket = await callBack(address, rank)
  const connection = new ControlConnection(socket, new Uint8Array(), {
    heartbeatTimeoutMs,
    onFrame: (payload) => compute.post(payload),
    onLost: () => process.kill(process.pid, 'SIGKILL'),
  })
  const send = (message: FromRank | Hello): void => connection.send(serialize(message))
  send({ host: os.hostname(), pid: process.pid, numCpus: os.availableParallelism() })
  const compute = new ComputeThread(`octavo-rank-${rank}`, 'bytes', {
    onMessage: (message) => connection.send(message as Uint8Array), // as `bytes` says
    onLost(reason, exitCode) {
      if (exitCode === 0) return ended.resolve()
      send({ type: 'failed', error: toTransferredError(reason) })
      void sleep(failureDelayMs).then(() => process.kill(process.pid, 'SIGKILL'))
    },
  })
  await ended.promise
  connection.end()
}
