/**
 * Entry point of the thread in which a rank computes. Messages come from the driver as they are, or, in a process of its
 * own, as bytes from the thread that has the socket.
 */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { deserialize, serialize } from 'node:v8'
import { assert } from '@octavo/core/engine'
import { createRank } from './create-rank.ts'
import { shareAddress } from './join-world.ts'
import type { FromRank, ToRank } from './rank-messages.ts'
import { RankServer } from './rank-server.ts'

/** What the thread is started with. */
export interface RankThreadData {
  readonly encoding: 'clone' | 'bytes'
}

function start(port: MessagePort, { encoding }: RankThreadData): void {
  const isCloned = encoding === 'clone'
  const server = new RankServer({
    createRank,
    shareAddress,
    post: (message: FromRank) => (isCloned ? port.postMessage(message) : postBytes(port, serialize(message))),
    onEnd: () => endThread(port),
  })
  port.on('message', (message: ToRank | Uint8Array) =>
    server.receive(message instanceof Uint8Array ? (deserialize(message) as ToRank) : message),
  )
}

/** A buffer of Node's may be a view of a pool. */
function postBytes(port: MessagePort, message: Uint8Array): void {
  const bytes = Uint8Array.from(message)
  port.postMessage(bytes, [bytes.buffer])
}

/** Nothing else keeps the thread. Deno's port cannot be closed. */
function endThread(port: Partial<MessagePort>): void {
  if (port.close !== undefined) port.close()
  else process.exit()
}

assert(parentPort !== null, 'rank-thread must run as a worker')
start(parentPort, workerData as RankThreadData)
