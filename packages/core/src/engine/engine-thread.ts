/** Entry point of the engine's own thread: an EngineLoop behind a MessagePort. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { assert } from '../util/assert.ts'
import { createEngineCore } from './create-engine-core.ts'
import { EngineLoop } from './engine-loop.ts'
import type { EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts'
import { toTransferredError } from '../error-transfer.ts'
import { Heartbeat } from './heartbeat.ts'

async function start(port: MessagePort, { heartbeat, ...data }: EngineThreadData): Promise<void> {
  const post = (message: FromEngine): void => port.postMessage(message)
  const fail = (error: unknown): void => {
    post({ type: 'failed', error: toTransferredError(error) })
    endThread(port)
  }
  try {
    const { core, info } = await createEngineCore(data, {
      onProgress: (loadedBytes, totalBytes) => post({ type: 'progress', loadedBytes, totalBytes }),
      onLog: (level, message) => post({ type: 'log', level, message }),
    })
    const loop = new EngineLoop(core, new Heartbeat(heartbeat), {
      onUpdates: (updates, metrics) => post({ type: 'updates', updates, metrics }),
      onRejected: (ids, error) => post({ type: 'rejected', ids, error: toTransferredError(error) }),
      onFailed: fail,
    })
    const close = async (): Promise<void> => {
      await loop.shutdown()
      endThread(port)
    }
    const command = async ({ id, command: name }: Extract<ToEngine, { type: 'command' }>): Promise<void> => {
      const error = await loop.command(name).then(() => null, toTransferredError)
      post({ type: 'done', id, error })
    }
    port.on('message', (message: ToEngine) => {
      if (message.type === 'add') loop.add(message.requests)
      else if (message.type === 'abort') loop.abort(message.ids)
      else if (message.type === 'command') void command(message)
      else void close()
    })
    post({ type: 'ready', info })
  } catch (error) {
    fail(error)
  }
}

/** Nothing else keeps the thread. Deno's port cannot be closed. */
function endThread(port: Partial<MessagePort>): void {
  if (port.close !== undefined) port.close()
  else process.exit()
}

assert(parentPort !== null, 'engine-thread must run as a worker')
void start(parentPort, workerData as EngineThreadData)
