// The engine's client on this side: whatever takes an EngineClient, such as the server, takes this one.
import { type ChildProcess, fork } from 'node:child_process'
import { on, once } from 'node:events'
import { EngineDeadError } from '@octavo/core'
import {
  type EngineClient,
  type EngineMetrics,
  fromTransferredError,
  type GenerateRequest,
  type RequestOutput,
  type ServedModel,
  type TransferredError,
} from '@octavo/core/engine'

export type ToEngine =
  | { readonly type: 'generate'; readonly request: GenerateRequest }
  | { readonly type: 'abort'; readonly requestId: string }
  | { readonly type: 'shutdown' }

export type FromEngine =
  | { readonly type: 'ready'; readonly models: readonly ServedModel[]; readonly metrics: EngineMetrics }
  | { readonly type: 'output'; readonly output: RequestOutput }
  | {
      readonly type: 'end'
      readonly requestId: string
      readonly error: TransferredError | null
      readonly metrics: EngineMetrics
    }

type Ready = Extract<FromEngine, { type: 'ready' }>

export class ProcessEngine implements EngineClient {
  readonly models: readonly ServedModel[]
  readonly #child: ChildProcess
  #metrics: EngineMetrics

  private constructor(child: ChildProcess, { models, metrics }: Ready) {
    this.models = models
    this.#child = child
    this.#metrics = metrics
    child.setMaxListeners(0) // one for each running request
  }

  static async start(model: string): Promise<ProcessEngine> {
    // Messages as worker threads have them, not as JSON: log probabilities may be -Infinity.
    const child = fork(new URL('engine-process.ts', import.meta.url), [model], { serialization: 'advanced' })
    const [ready] = (await once(child, 'message')) as [Ready]
    return new ProcessEngine(child, ready)
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<RequestOutput, void, undefined> {
    signal?.throwIfAborted()
    await this.checkHealth()
    const { requestId } = request
    const abort = (): void => this.#send({ type: 'abort', requestId })
    const messages = on(this.#child, 'message', { close: ['exit'] })
    signal?.addEventListener('abort', abort, { once: true })
    this.#send({ type: 'generate', request })
    try {
      for await (const [message] of messages as AsyncIterable<[FromEngine]>) {
        if (message.type === 'output' && message.output.requestId === requestId) yield message.output
        if (message.type !== 'end' || message.requestId !== requestId) continue
        this.#metrics = message.metrics
        signal?.throwIfAborted()
        if (message.error !== null) throw fromTransferredError(message.error)
        return
      }
      await this.checkHealth()
    } finally {
      signal?.removeEventListener('abort', abort)
      abort()
    }
  }

  metrics(): EngineMetrics {
    return this.#metrics
  }

  async checkHealth(): Promise<void> {
    if (!this.#child.connected) throw new EngineDeadError("The engine's process has ended; start a new one.")
  }

  async shutdown(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#send({ type: 'shutdown' })
    await once(this.#child, 'exit')
  }

  /** As a crash would. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #send(message: ToEngine): void {
    if (this.#child.connected) this.#child.send(message)
  }
}
