import { setTimeout as sleep } from 'node:timers/promises'
import { deserialize, serialize } from 'node:v8'
import { fromTransferredError, toTransferredError } from '@octavo/core/engine'
import { callBack } from '../control/control-client.ts'
import { ControlConnection } from '../control/control-connection.ts'
import type { ControlAddress } from '../control/control-server.ts'
import { ComputeThread } from '../launch/compute-thread.ts'
import { createHello } from './hello.ts'
import type { FromRank } from './rank-messages.ts'

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
  const compute = new ComputeProcess(rank)
  await compute.serve(address, heartbeatTimeoutMs)
}

/** The same among ranks that somebody else started: the first one has the driver, and says where that is. */
export async function serveFirstRank(rank: number, heartbeatTimeoutMs: number): Promise<void> {
  // Who started it sends signals to all; this rank goes when the first one does.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
  const compute = new ComputeProcess(rank)
  await compute.serve(await compute.askForAddress(), heartbeatTimeoutMs)
}

/** The thread that computes, and the process around it. */
class ComputeProcess {
  readonly #rank: number
  readonly #thread: ComputeThread
  readonly #ended = Promise.withResolvers<void>()
  #send: (payload: Uint8Array) => void = () => {}

  constructor(rank: number) {
    this.#rank = rank
    this.#thread = new ComputeThread(`octavo-rank-${rank}`, 'bytes', {
      onMessage: (message) => this.#send(message as Uint8Array), // as `bytes` says
      onLost: (reason, exitCode) => this.#lose(reason, exitCode),
    })
  }

  async askForAddress(): Promise<ControlAddress> {
    const answer = Promise.withResolvers<FromRank>()
    this.#send = (payload) => answer.resolve(deserialize(payload) as FromRank)
    this.#thread.post({ type: 'join', address: null })
    const message = await answer.promise
    if (message.type === 'failed') throw fromTransferredError(message.error)
    return (message as { readonly value: unknown }).value as ControlAddress
  }

  async serve(address: ControlAddress, heartbeatTimeoutMs: number): Promise<void> {
    const socket = await callBack(address, this.#rank)
    const connection = new ControlConnection(socket, new Uint8Array(), {
      heartbeatTimeoutMs,
      onFrame: (payload) => this.#thread.post(payload),
      onLost: () => process.kill(process.pid, 'SIGKILL'),
    })
    this.#send = (payload) => connection.send(payload)
    connection.send(serialize(createHello()))
    await this.#ended.promise
    connection.end()
  }

  #lose(reason: Error, exitCode: number | null): void {
    if (exitCode === 0) return this.#ended.resolve()
    const message: FromRank = { type: 'failed', error: toTransferredError(reason) }
    this.#send(serialize(message))
    void sleep(failureDelayMs).then(() => process.kill(process.pid, 'SIGKILL'))
  }
}
