/** Entry point of the engine's own thread: an EngineCore behind a MessagePort. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { loadBackendModules } from '../backends/backend-module.ts'
import { assert } from '../util/assert.ts'
import { createScheduler } from './create-scheduler.ts'
import { EngineCore } from './engine-core.ts'
import type { EngineThreadData, FromEngine, ToEngine } from './engine-messages.ts'
import { toTransferredError } from '../error-transfer.ts'
import { InlineExecutor } from './inline-executor.ts'

/** So many steps in a row without a scheduled token or an ended sequence mean that the scheduler is stuck. */
const maxIdleSteps = 100

class EngineThread {
  readonly #port: MessagePort
  readonly #core: EngineCore
  #isRunning = false
  #isShutDown = false

  constructor(port: MessagePort, core: EngineCore) {
    this.#port = port
    this.#core = core
    port.on('message', (message: ToEngine) => this.#receive(message))
  }

  #receive(message: ToEngine): void {
    switch (message.type) {
      case 'add':
        for (const request of message.requests) this.#core.addSequence(request)
        break
      case 'abort':
        for (const id of message.ids) this.#core.abortSequence(id)
        post(this.#port, { type: 'updates', updates: [], metrics: this.#core.metrics() })
        break
      case 'shutdown':
        this.#isShutDown = true
        if (!this.#isRunning) void this.#close()
        return
    }
    if (!this.#isRunning) void this.#run()
  }

  /** Steps while there is work, and lets messages in between steps; without work the thread sleeps in its event loop. */
  async #run(): Promise<void> {
    this.#isRunning = true
    try {
      let numIdleSteps = 0
      while (this.#core.hasWork && !this.#isShutDown) {
        const { updates, numTokens, failure } = await this.#core.step()
        if (failure !== null) throw failure
        numIdleSteps = numTokens > 0 || updates.length > 0 ? 0 : numIdleSteps + 1
        assert(numIdleSteps < maxIdleSteps, 'the scheduler makes no progress')
        post(this.#port, { type: 'updates', updates, metrics: this.#core.metrics() })
        await nextTurn()
      }
      this.#isRunning = false
      if (this.#isShutDown) await this.#close()
    } catch (error) {
      post(this.#port, { type: 'failed', error: toTransferredError(error) })
      this.#port.close()
    }
  }

  async #close(): Promise<void> {
    await this.#core.shutdown()
    post(this.#port, { type: 'closed' })
    this.#port.close()
  }
}

function post(port: MessagePort, message: FromEngine): void {
  port.postMessage(message)
}

async function start(port: MessagePort, data: EngineThreadData): Promise<void> {
  try {
    const { config } = data
    const executor = new InlineExecutor({
      config,
      modelPath: data.modelPath,
      backendProviders: await loadBackendModules(data.backends),
      onProgress: (loadedBytes, totalBytes) => post(port, { type: 'progress', loadedBytes, totalBytes }),
    })
    const info = await executor.initialize()
    const scheduler = createScheduler(config, info)
    new EngineThread(port, new EngineCore(scheduler, executor))
    post(port, { type: 'ready', info })
  } catch (error) {
    post(port, { type: 'failed', error: toTransferredError(error) })
    port.close()
  }
}

assert(parentPort !== null, 'engine-thread must run as a worker')
void start(parentPort, workerData as EngineThreadData)
