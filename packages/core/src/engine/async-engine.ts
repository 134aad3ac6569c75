import { type EngineConfig, type EngineOptions, resolveEngineConfig } from '../config/engine-config.ts'
import type { BackendModule } from '../backends/backend-module.ts'
import { EngineDeadError, InvalidRequestError, ModelNotFoundError } from '../errors.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { AsyncQueue } from '../util/async-queue.ts'
import { type Logger, silentLogger } from '../util/logger.ts'
import type { EngineClient, EngineMetrics, GenerateRequest, ServedModel } from './engine-client.ts'
import type { EngineInfo, FromEngine } from './engine-messages.ts'
import { EngineWorker } from './engine-worker.ts'
import { type FrontModel, loadFrontModel, type LoadHooks, resolveModel } from './front-model.ts'
import { InputProcessor, type ProcessedRequest } from './input-processor.ts'
import { OutputProcessor } from './output-processor.ts'

/** What a program may pass besides the plain options: functions cannot cross to the engine thread. */
export interface EngineHooks extends LoadHooks {
  readonly logger?: Logger
  /** Backends of other packages, which join core's own in the choice. */
  readonly backends?: readonly BackendModule[]
}

interface ActiveRequest {
  readonly queue: AsyncQueue<RequestOutput>
  readonly sequenceIds: readonly string[]
}

/** The front of an engine in this process: text in, text out, one AsyncIterable per request; kernels run in their own thread. */
export class AsyncEngine implements EngineClient {
  readonly models: readonly ServedModel[]
  readonly info: EngineInfo
  readonly #worker: EngineWorker
  readonly #tokenizer: Tokenizer
  readonly #inputProcessor: InputProcessor
  readonly #outputProcessor: OutputProcessor
  readonly #requests = new Map<string, ActiveRequest>()
  #metrics: EngineMetrics
  #dead: EngineDeadError | null = null
  #idle: PromiseWithResolvers<void> | null = null

  private constructor(config: EngineConfig, front: FrontModel, started: { worker: EngineWorker; info: EngineInfo }) {
    const { info, worker } = started
    this.info = info
    this.#worker = worker
    this.#tokenizer = front.tokenizer
    this.#inputProcessor = new InputProcessor({
      ...front,
      maxModelLen: info.maxModelLen,
      maxLogprobs: config.maxLogprobs,
      schedulingPolicy: config.schedulingPolicy,
      seed: config.seed,
    })
    this.#outputProcessor = new OutputProcessor(front.tokenizer)
    this.#metrics = emptyMetrics(info)
    const created = Math.floor(Date.now() / 1000)
    this.models = config.servedModelNames.map((id) => ({
      id,
      root: config.model,
      created,
      maxModelLen: info.maxModelLen,
      hasChatTemplate: front.chatTemplate !== null,
    }))
    this.#worker.keepProcessAlive(false)
  }

  /**
   * Resolves the model (downloading it if need be), loads it in the engine thread and waits until it can serve.
   * @throws InvalidConfigError | ModelNotFoundError | CheckpointError | InsufficientMemoryError | …
   */
  static async create(options: EngineOptions, hooks: EngineHooks = {}): Promise<AsyncEngine> {
    const config = resolveEngineConfig(options)
    const logger = hooks.logger ?? silentLogger
    const modelPath = await resolveModel(config, hooks)
    const created: { engine: AsyncEngine | null; dead: EngineDeadError | null } = { engine: null, dead: null }
    // The engine thread reads the weights while this one reads the tokenizer, and might even die meanwhile.
    const worker = EngineWorker.start(
      { config, modelPath, backends: hooks.backends ?? [] },
      {
        onProgress: (loadedBytes, totalBytes) => hooks.onLoadProgress?.(loadedBytes, totalBytes),
        onUpdates(message) {
          if (created.engine !== null) created.engine.#receive(message)
        },
        onDead(error) {
          created.dead = error
          if (created.engine !== null) created.engine.#die(error)
        },
      },
    )
    const { front, info } = await loadBoth(config, modelPath, worker)
    const engine = new AsyncEngine(config, front, { worker, info })
    created.engine = engine
    if (created.dead !== null) throw created.dead
    if (info.warmup !== null) {
      const { numSteps, tookMs } = info.warmup
      logger.info(`warmed up ${info.backend} with ${numSteps} batches in ${(tookMs / 1000).toFixed(1)} s`)
    }
    if (config.maxModelLen === null && info.maxModelLen < front.maxPositions) {
      logger.warn(
        `the context is cut from ${front.maxPositions} to ${info.maxModelLen} tokens, which is what the KV cache holds; set maxModelLen or kvCacheMemory to change that`,
      )
    }
    return engine
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<RequestOutput, void, undefined> {
    signal?.throwIfAborted()
    const { queue, sequenceIds } = this.#add(request)
    const abort = (): void => this.#abort(request.requestId, sequenceIds)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      yield* queue
      signal?.throwIfAborted()
    } finally {
      signal?.removeEventListener('abort', abort)
      abort()
    }
  }

  detokenize(tokenIds: readonly number[]): string {
    return this.#tokenizer.decode(tokenIds)
  }

  metrics(): EngineMetrics {
    return this.#metrics
  }

  checkHealth(): Promise<void> {
    return this.#dead === null ? Promise.resolve() : Promise.reject(this.#dead)
  }

  async shutdown(drain?: { timeoutMs: number }): Promise<void> {
    if (drain !== undefined && this.#requests.size > 0) await this.#drained(drain.timeoutMs)
    const closed = new EngineDeadError('The engine was shut down; start a new one.')
    for (const [requestId, { sequenceIds }] of this.#requests) this.#abort(requestId, sequenceIds)
    this.#dead ??= closed
    await this.#worker.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }

  #add(request: GenerateRequest): ActiveRequest {
    if (this.#dead !== null) throw this.#dead
    this.#checkModel(request)
    if (this.#requests.has(request.requestId)) {
      throw new InvalidRequestError(
        `A request with id "${request.requestId}" is still running; ids must be unique among running requests.`,
        'requestId',
      )
    }
    const processed: ProcessedRequest = this.#inputProcessor.process(request, Date.now())
    const sequenceIds = processed.sequences.map((sequence) => sequence.id)
    const active = { queue: new AsyncQueue<RequestOutput>(), sequenceIds }
    this.#outputProcessor.addRequest({
      requestId: processed.requestId,
      prompt: processed.promptText,
      promptTokenIds: processed.promptTokenIds,
      params: processed.params,
      sequenceIds,
      outputKind: request.outputKind ?? 'cumulative',
    })
    this.#requests.set(request.requestId, active)
    this.#worker.keepProcessAlive(true)
    this.#worker.send({ type: 'add', requests: processed.sequences })
    return active
  }

  #checkModel({ model }: GenerateRequest): void {
    if (model === undefined || this.models.some(({ id }) => id === model)) return
    const known = this.models.map(({ id }) => id).join(', ')
    throw new ModelNotFoundError(model, `The model "${model}" does not exist; this server has: ${known}.`)
  }

  #receive({ updates, metrics }: Extract<FromEngine, { type: 'updates' }>): void {
    this.#metrics = metrics
    const { outputs, abortedSequenceIds } = this.#outputProcessor.process(updates)
    if (abortedSequenceIds.length > 0) this.#worker.send({ type: 'abort', ids: abortedSequenceIds })
    for (const output of outputs) {
      const active = this.#requests.get(output.requestId)
      active?.queue.push(output)
      if (output.finished) this.#end(output.requestId, null)
    }
  }

  #abort(requestId: string, sequenceIds: readonly string[]): void {
    if (this.#requests.get(requestId)?.sequenceIds !== sequenceIds) return
    this.#worker.send({ type: 'abort', ids: sequenceIds })
    const last = this.#outputProcessor.abort(requestId)
    if (last !== null) this.#requests.get(requestId)?.queue.push(last)
    this.#end(requestId, null)
  }

  #end(requestId: string, error: Error | null): void {
    this.#requests.get(requestId)?.queue.close(error)
    this.#requests.delete(requestId)
    if (this.#requests.size > 0) return
    this.#worker.keepProcessAlive(false)
    this.#idle?.resolve()
    this.#idle = null
  }

  #die(error: EngineDeadError): void {
    this.#dead = error
    for (const requestId of [...this.#requests.keys()]) {
      this.#outputProcessor.abort(requestId)
      this.#end(requestId, error)
    }
  }

  async #drained(timeoutMs: number): Promise<void> {
    this.#idle ??= Promise.withResolvers<void>()
    let timer: NodeJS.Timeout | undefined
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs)
    })
    await Promise.race([this.#idle.promise, timeout])
    clearTimeout(timer)
  }
}

/** Both threads load at once; where one can't, the other stops. */
async function loadBoth(
  config: EngineConfig,
  modelPath: string,
  worker: EngineWorker,
): Promise<{ front: FrontModel; info: EngineInfo }> {
  try {
    const front = await loadFrontModel(config, modelPath)
    return { front, info: await worker.ready }
  } catch (error) {
    await worker.terminate()
    throw error
  }
}

function emptyMetrics(info: EngineInfo): EngineMetrics {
  return {
    numRunningSeqs: 0,
    numWaitingSeqs: 0,
    kvCacheUsage: 0,
    numKvBlocks: info.numBlocks,
    numUnfilledKvSlots: 0,
    numPreemptions: 0,
    promptTokens: 0,
    generationTokens: 0,
    prefixCacheQueries: 0,
    prefixCacheHits: 0,
    numSteps: 0,
  }
}
