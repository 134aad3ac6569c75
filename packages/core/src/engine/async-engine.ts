import { checkNodeVersion } from '../config/check-node-version.ts'
import { type EngineConfig, resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import { checkEngineModules } from '../config/engine-module.ts'
import { EngineDeadError, EngineSleepingError, InvalidRequestError, ModelNotFoundError } from '../errors.ts'
import { fromTransferredError } from '../error-transfer.ts'
import { unsupportedTask } from '../pooling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { silentLogger } from '../util/logger.ts'
import { PullQueue } from '../util/pull-queue.ts'
import { TurnQueue } from '../util/turn-queue.ts'
import { waitAtMost } from '../util/wait-at-most.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createCoreClient } from './create-core-client.ts'
import { describeModel, type ModelDescription } from './describe-model.ts'
import type {
  EngineClient,
  EngineMetrics,
  EngineTelemetry,
  GenerateRequest,
  PoolingOutput,
  PoolingRequest,
  RenderedRequest,
  ServedModel,
  SleepOptions,
  TokenizedPrompt,
  TokenizeRequest,
} from './engine-client.ts'
import type { EngineCoreEvents } from './engine-core-client.ts'
import type { EngineHooks } from './engine-hooks.ts'
import type { EngineInfo } from './engine-info.ts'
import { describeEnd, logStart, warn } from './engine-log.ts'
import { type FrontModel, locateModel } from './front-model.ts'
import { InputProcessor, type ProcessedRequest } from './input-processor.ts'
import { loadBoth } from './load-both.ts'
import { nativeHint } from './native-hint.ts'
import { OutputProcessor } from './output-processor.ts'
import type { RenewableCoreClient } from './renewable-core-client.ts'
import { PoolingProcessor } from './pooling-processor.ts'
import { PoolingRequests } from './pooling-requests.ts'
import { RequestMeter } from './request-metrics.ts'
import type { RequestRecord } from './request-record.ts'
import { Sleeper } from './sleeper.ts'
import { checkTokenIds, detokenizeInTurns, tokenizePrompt } from './tokenize-prompt.ts'

interface CoreOfEngine {
  readonly core: RenewableCoreClient
  readonly modelPath: string
  readonly hasPriorities: boolean
}

interface ActiveRequest {
  readonly queue: PullQueue<RequestOutput>
  readonly sequenceIds: readonly string[]
  readonly record: RequestRecord
}

/** What a request becomes, and what is done with that. */
interface Arrival<Processed, Result> {
  readonly process: () => Promise<Processed>
  readonly start: (processed: Processed) => Result
}

/** The front of an engine: text in, text out, one AsyncIterable per request; the core, which knows token ids only, runs in its own thread. */
export class AsyncEngine implements EngineClient {
  readonly tokenizer: Tokenizer
  readonly #config: EngineConfig
  readonly #core: RenewableCoreClient
  readonly #sleeper: Sleeper
  readonly #modelPath: string
  readonly #front: FrontModel
  readonly #turns = new TurnQueue()
  readonly #inputProcessor: InputProcessor
  readonly #outputProcessor: OutputProcessor
  readonly #poolingProcessor: PoolingProcessor
  readonly #description: ModelDescription
  /** Threads beside the core's. */
  readonly #helpers: readonly { close(): Promise<void> }[]
  readonly #requests = new Map<string, ActiveRequest>()
  readonly #pooling = new PoolingRequests()
  /** Ids of requests whose prompts are not token ids yet. */
  readonly #arriving = new Set<string>()
  readonly #created = Math.floor(Date.now() / 1000)
  readonly #meter: RequestMeter
  #idle: PromiseWithResolvers<void> | null = null

  protected constructor(config: EngineConfig, front: FrontModel, { core, modelPath, hasPriorities }: CoreOfEngine) {
    this.#config = config
    this.#modelPath = modelPath
    this.#front = front
    this.#sleeper = new Sleeper({
      core,
      abortAll: () => this.#abortAll(new EngineSleepingError()),
      whenIdle: () => this.#whenIdle(),
    })
    this.#core = core
    this.tokenizer = front.tokenizer
    this.#helpers = [front.promptEncoder, front.grammarTranslator]
    const turns = this.#turns
    this.#description = describeModel(front)
    const common = { ...front, turns, maxModelLen: core.info.maxModelLen, hasPriorities }
    const { maxLogprobs, seed } = config.serving
    this.#inputProcessor = new InputProcessor({ ...common, maxLogprobs, seed })
    this.#poolingProcessor = new PoolingProcessor(common)
    this.#outputProcessor = new OutputProcessor(front.tokenizer, turns)
    this.#meter = new RequestMeter(core.info.maxModelLen)
  }

  /**
   * Resolves the model (downloading it if need be), loads it in the engine thread and waits until it can serve.
   * @throws InvalidConfigError | ModelNotFoundError | CheckpointError | InsufficientMemoryError | …
   */
  static async create(options: EngineOptions, hooks: EngineHooks = {}): Promise<AsyncEngine> {
    checkNodeVersion()
    const config = resolveEngineConfig(options)
    const modules = hooks.modules ?? []
    checkEngineModules(modules)
    const logger = hooks.logger ?? silentLogger
    const modelPath = await locateModel(config.model, hooks)
    const core = createCoreClient({ config, modelPath, modules }, hooks)
    // Nothing that is said before it exists concerns it: it holds no requests yet.
    let engine: AsyncEngine | null = null
    const events: EngineCoreEvents = {
      onProgress: (loadedBytes, totalBytes) => hooks.onLoadProgress?.(loadedBytes, totalBytes),
      onLog: (level, message) => (level === 'warn' ? warn(message, hooks) : logger.info(message)),
      onUpdates(updates) {
        if (engine !== null) engine.#receive(updates)
      },
      onRejected(ids, error) {
        if (engine !== null) engine.#reject(ids, error)
      },
      onLost(error) {
        logger.error(describeEnd(error))
        if (engine !== null) engine.#loseAll(error)
      },
      onDead(error) {
        events.onLost(error)
        if (engine !== null) engine.#sleeper.close(error)
        hooks.onDead?.(error)
      },
    }
    const front = await loadBoth({ config, modelPath, modules }, hooks, { core, events })
    const hasPriorities =
      config.scheduler.schedulingPolicy === 'priority' || modules.some(({ kind }) => kind === 'scheduling-policy')
    engine = new this(config, front, { core, modelPath, hasPriorities })
    logStart(engine.info, { config, front, logger })
    const hint = nativeHint({ wanted: config.device.backend, backend: engine.info.backend, modules })
    if (hint !== null) warn(hint, hooks)
    return engine
  }

  /** What serves now; another one after a restart. */
  get info(): EngineInfo {
    return this.#core.info
  }

  get models(): readonly ServedModel[] {
    return this.#config.serving.servedModelName.map((id) => ({
      id,
      root: this.#config.model.model,
      created: this.#created,
      maxModelLen: this.info.maxModelLen,
      ...this.#description,
    }))
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncGenerator<RequestOutput, void, undefined> {
    signal?.throwIfAborted()
    const arrivedMs = this.#meter.now()
    const { tasks } = this.#description
    if (!tasks.includes('generate')) throw unsupportedTask('generate', tasks)
    const { queue, sequenceIds } = await this.#arrive(request, signal, {
      process: () => this.#inputProcessor.process(request, arrivedMs, signal),
      start: (processed) => this.#start(request, processed, arrivedMs),
    })
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

  async pool(request: PoolingRequest, signal?: AbortSignal): Promise<PoolingOutput> {
    signal?.throwIfAborted()
    const arrivedMs = this.#meter.now()
    const { sequenceId, output } = await this.#arrive(request, signal, {
      process: () => this.#poolingProcessor.process(request, arrivedMs, signal),
      start: (sequence) => {
        const record = this.#meter.start({
          arrivedMs,
          numPromptTokens: sequence.promptTokenIds.length,
          numSamples: 1,
          params: null,
          onEnd: request.onEnd,
        })
        const running = { sequenceId: sequence.id, output: this.#pooling.add(request.requestId, sequence, record) }
        this.#core.add([sequence])
        return running
      },
    })
    const abort = (): void => this.#abortPooling(sequenceId, signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await output
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#checkIdle()
    }
  }

  /** @throws InvalidRequestError for an id that no token of the model has */
  detokenize(tokenIds: readonly number[]): string {
    checkTokenIds(tokenIds, this.#front.vocabSize)
    return this.tokenizer.decode(tokenIds)
  }

  /** @throws InvalidRequestError as `detokenize` */
  async detokenizeInTurns(tokenIds: readonly number[]): Promise<string> {
    checkTokenIds(tokenIds, this.#front.vocabSize)
    return await detokenizeInTurns(tokenIds, this.tokenizer, this.#turns)
  }

  tokenize(request: TokenizeRequest, signal?: AbortSignal): Promise<TokenizedPrompt> {
    this.#checkModel(request.model)
    const { maxModelLen } = this.info
    return tokenizePrompt(request, { ...this.#front, turns: this.#turns, maxModelLen, signal })
  }

  async render(request: GenerateRequest, signal?: AbortSignal): Promise<RenderedRequest> {
    signal?.throwIfAborted()
    this.#checkModel(request.model)
    const seed = request.params.seed ?? null
    // A seed, so that none is drawn, which the next request would miss.
    const seeded = { ...request, params: { ...request.params, seed: seed ?? 0 } }
    const processed = await this.#inputProcessor.process(seeded, Date.now(), signal)
    const { promptText, promptTokenIds: tokenIds } = processed
    const maxTokens = processed.params.maxTokens ?? this.info.maxModelLen - tokenIds.length
    const params = { ...processed.params, seed: seed === null ? null : processed.params.seed, maxTokens }
    return { requestId: request.requestId, prompt: promptText, tokenIds, params }
  }

  async tokenizerConfig(): Promise<Readonly<Record<string, unknown>>> {
    const { tokenizerConfig, chatTemplate } = (await openCheckpoint(this.#modelPath)).readTokenizer()
    const { name_or_path, vocab_file, merges_file, tokenizer_file, special_tokens_map_file, ...config } =
      tokenizerConfig
    return { ...config, ...(chatTemplate !== null && { chat_template: chatTemplate }) }
  }

  resetPrefixCache(): Promise<void> {
    return this.#core.command('resetPrefixCache')
  }

  get isSleeping(): boolean {
    return this.#sleeper.isSleeping
  }

  sleep(options: SleepOptions): Promise<void> {
    return this.#sleeper.sleep(options)
  }

  wakeUp(): Promise<void> {
    return this.#sleeper.wakeUp()
  }

  metrics(): EngineMetrics {
    return this.#core.metrics()
  }

  telemetry(): readonly EngineTelemetry[] {
    const { cache, serving } = this.#config
    const { blockSize, kvCacheDtype: dtype } = this.info
    return [
      {
        modelName: serving.servedModelName[0]!,
        metrics: this.metrics(),
        requests: this.#meter.metrics(),
        sleepLevel: this.#sleeper.level,
        cache: { blockSize, dtype, enablePrefixCaching: cache.enablePrefixCaching },
      },
    ]
  }

  checkHealth(): Promise<void> {
    return this.#core.checkHealth()
  }

  async shutdown(drain?: { timeoutMs: number }): Promise<void> {
    if (drain !== undefined && this.#numUnfinished > 0) await this.#drained(drain.timeoutMs)
    this.#abortAll(new EngineDeadError('The engine was shut down before the request came to its end.'))
    this.#sleeper.close(new EngineDeadError('The engine was shut down while it slept.'))
    await Promise.all([this.#core.shutdown(), ...this.#helpers.map((helper) => helper.close())])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown()
  }

  /** Making token ids of a text may take a while: meanwhile the request's id is taken. */
  async #arrive<Processed, Result>(
    { requestId, model }: Pick<GenerateRequest, 'requestId' | 'model'>,
    signal: AbortSignal | undefined,
    { process, start }: Arrival<Processed, Result>,
  ): Promise<Result> {
    // Again, where it falls asleep before who waited goes on.
    while (this.#sleeper.isSleeping) await this.#sleeper.pass(signal)
    if (this.#core.failure !== null) throw this.#core.failure
    this.#checkModel(model)
    if (this.#requests.has(requestId) || this.#pooling.has(requestId) || this.#arriving.has(requestId)) {
      throw new InvalidRequestError(
        `A request with id "${requestId}" is still running; ids must be unique among running requests.`,
        'requestId',
      )
    }
    this.#arriving.add(requestId)
    try {
      const processed = await process()
      signal?.throwIfAborted()
      this.#sleeper.checkOpen()
      if (this.#core.failure !== null) throw this.#core.failure
      return start(processed)
    } finally {
      this.#arriving.delete(requestId)
      this.#checkIdle()
    }
  }

  #start(request: GenerateRequest, processed: ProcessedRequest, arrivedMs: number): ActiveRequest {
    const sequenceIds = processed.sequences.map((sequence) => sequence.id)
    const record = this.#meter.start({
      arrivedMs,
      numPromptTokens: processed.promptTokenIds.length,
      numSamples: sequenceIds.length,
      params: processed.params,
      onEnd: request.onEnd,
    })
    const outputs = this.#outputProcessor.addRequest({
      requestId: processed.requestId,
      prompt: processed.promptText,
      promptTokenIds: processed.promptTokenIds,
      params: processed.params,
      sequenceIds,
      outputKind: request.outputKind ?? 'cumulative',
      messages: processed.messages,
      record,
    })
    const active = { queue: new PullQueue(() => outputs.take()), sequenceIds, record }
    this.#requests.set(request.requestId, active)
    this.#core.add(processed.sequences)
    return active
  }

  #checkModel(model: string | undefined): void {
    const known = this.#config.serving.servedModelName
    if (model === undefined || known.includes(model)) return
    throw new ModelNotFoundError(model, `The model "${model}" does not exist; this server has: ${known.join(', ')}.`)
  }

  #receive(updates: readonly SequenceUpdate[]): void {
    for (const update of updates) {
      if (update.error !== null) this.#reject([update.id], fromTransferredError(update.error))
      this.#pooling.finish(update)
    }
    const { touched, abortedSequenceIds } = this.#outputProcessor.process(updates)
    if (abortedSequenceIds.length > 0) this.#core.abort(abortedSequenceIds)
    for (const { requestId, isFinished } of touched) {
      this.#requests.get(requestId)?.queue.notify()
      if (isFinished) this.#end(requestId, null)
    }
  }

  /** A request is not answered in part: its other samples end with the one that failed. */
  #reject(sequenceIds: readonly string[], error: Error): void {
    for (const sequenceId of sequenceIds) {
      if (this.#pooling.fail(sequenceId, error)) continue
      const requestId = this.#outputProcessor.requestOf(sequenceId)
      const active = requestId === null ? undefined : this.#requests.get(requestId)
      if (requestId === null || active === undefined) continue
      this.#core.abort(active.sequenceIds)
      this.#outputProcessor.forget(requestId)
      this.#end(requestId, error)
    }
  }

  #abort(requestId: string, sequenceIds: readonly string[]): void {
    if (this.#requests.get(requestId)?.sequenceIds !== sequenceIds) return
    this.#core.abort(sequenceIds)
    this.#outputProcessor.abort(requestId)
    this.#end(requestId, null)
  }

  #abortPooling(sequenceId: string, reason: unknown): void {
    if (this.#pooling.abort(sequenceId, reason)) this.#core.abort([sequenceId])
  }

  #end(requestId: string, error: Error | null): void {
    const active = this.#requests.get(requestId)
    this.#requests.delete(requestId)
    active?.queue.close(error)
    active?.record.end(error)
    this.#checkIdle()
  }

  get #numUnfinished(): number {
    return this.#requests.size + this.#pooling.size + this.#arriving.size
  }

  #checkIdle(): void {
    if (this.#numUnfinished > 0) return
    this.#idle?.resolve()
    this.#idle = null
  }

  #loseAll(error: EngineDeadError): void {
    this.#pooling.failAll(error)
    for (const requestId of [...this.#requests.keys()]) {
      this.#outputProcessor.forget(requestId)
      this.#end(requestId, error)
    }
  }

  async #drained(timeoutMs: number): Promise<void> {
    await waitAtMost(this.#whenIdle(), timeoutMs)
  }

  #whenIdle(): Promise<void> {
    if (this.#numUnfinished === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  /** `reason`: for those that have nothing to show so far. */
  #abortAll(reason: Error): void {
    for (const [requestId, { sequenceIds }] of this.#requests) this.#abort(requestId, sequenceIds)
    for (const id of this.#pooling.sequenceIds()) this.#abortPooling(id, reason)
  }
}
