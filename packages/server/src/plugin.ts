import { createRequire } from 'node:module'
import type { EngineClient, Logger } from '@octavo/core'
import { InvalidConfigError, silentLogger, TurnQueue } from '@octavo/core'
import type { Tracer } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
import { AdmissionQueue } from './admission/admission-queue.ts'
import { createCallerEngine } from './admission/caller-engine.ts'
import { addSleep } from './admin/sleep.ts'
import { checkHost } from './allowed-hosts.ts'
import { addCountTokens } from './anthropic/count-tokens.ts'
import { addMessages } from './anthropic/messages.ts'
import type { ApiKeyOptions } from './access/api-key.ts'
import type { Authenticate } from './authenticate.ts'
import { trackRequests } from './track-requests.ts'
import { createAdminCheck, createAuthenticate } from './access/create-authenticate.ts'
import { allowOrigins, type CorsOptions } from './cors.ts'
import { answerError } from './endpoint.ts'
import { HttpError } from './http-error.ts'
import { InFlightRequests } from './in-flight-requests.ts'
import { addInvocations } from './invocations.ts'
import { parseJsonBodies } from './json-body.ts'
import { addBatches } from './openai/batches/batches.ts'
import { type BatchOptions, Batches } from './openai/batches/batches-of-server.ts'
import { addFiles } from './openai/batches/files.ts'
import { addChatCompletions } from './openai/chat-completions.ts'
import { addCompletions } from './openai/completions.ts'
import { addModels } from './openai/models.ts'
import { addEmbeddings } from './openai/embeddings.ts'
import { createMemoryResponseStore } from './openai/responses/memory-response-store.ts'
import type { ResponseStore } from './openai/responses/response-store.ts'
import { addResponses } from './openai/responses/responses.ts'
import { addOpenApi } from './openapi/openapi.ts'
import { addClassify } from './pooling/classify.ts'
import { addPooling } from './pooling/pooling.ts'
import { addRerank } from './pooling/rerank.ts'
import { addScore } from './pooling/score.ts'
import { timedLogger } from './request-log.ts'
import type { ExplainOptions, ServerContext } from './server-context.ts'
import { addStatusEndpoints } from './status-endpoints.ts'
import { addMetrics, type MetricsAccess } from './telemetry/metrics-endpoint.ts'
import { findOperation, Telemetry } from './telemetry/telemetry.ts'
import { addDetokenize } from './tokens/detokenize.ts'
import { addRender } from './tokens/render.ts'
import { addTokenize } from './tokens/tokenize.ts'
import { addTokenizerInfo } from './tokens/tokenizer-info.ts'
import { toHttpError } from './to-http-error.ts'
import { dialectOf, explainUnknownPath } from './unknown-path.ts'

/** What the endpoints need; everything but the engine has a default. */
export interface OctavoPluginOptions extends CorsOptions {
  /** Not shut down with the app: whoever made it ends it. Several at once: `createModelRouter`. */
  readonly engine: EngineClient
  /** What GET /version says. Default: this package's own. */
  readonly version?: string
  /** Keys of which requests must show one ("Authorization: Bearer …" or "x-api-key: …"), themselves or with limits. Default: none, everyone may call. */
  readonly apiKeys?: readonly (string | ApiKeyOptions)[]
  /** Who shows it may call the endpoints for operators, which nobody may without one. Default: none. */
  readonly adminApiKey?: string | undefined
  /** In place of `apiKeys`: decides who may call, and for which tenant. Keys that change: `KeyRing`. */
  readonly authenticate?: Authenticate
  /** Names by which a server on a loopback address without keys may be called, besides localhost and loopback addresses. */
  readonly allowedHosts?: readonly string[]
  /** Largest body in bytes; beyond it 413. Default 32 MiB. */
  readonly bodyLimit?: number
  /** A client that takes nothing of its answer for so long is disconnected. Default 60000. */
  readonly writeTimeoutMs?: number
  /** One line per request and one per unexpected failure; never prompts or outputs. Default: silent. */
  readonly logger?: Logger
  /** How long `close()` lets running requests go on before it aborts them. Default 30000. */
  readonly drainTimeoutMs?: number
  /**
   * Sequences (samples of requests) that may wait beside those that the engine computes; beyond it a request is answered with
   * 503, and with 429 where its API key holds more than its share, and `Retry-After` is when there should be room.
   * Default: any number. Needs `maxNumSeqs`.
   */
  readonly maxQueuedSeqs?: number | undefined
  /** What the engine computes at once, by its option of this name. */
  readonly maxNumSeqs?: number
  /** How long a request may wait for an engine that is started again. Default 0: it is refused at once. */
  readonly restartWaitMs?: number
  /** A stream that has had nothing to tell for so long, as during a long prefill, is kept alive by a ping. Default 15000; `null`: none. */
  readonly pingIntervalMs?: number | null
  /** Keep the prefix-cache entries of different tenants (by default: API keys) apart. Default true. */
  readonly isolatePrefixCache?: boolean
  /** Files and batches: where they are kept, and how much there may be. */
  readonly batches?: BatchOptions
  /** Where responses are kept that can be read and gone on from. Default: `createMemoryResponseStore()`. */
  readonly responseStore?: ResponseStore
  /** Run the Jinja templates that requests bring; a hostile one can keep the server busy. Default false. */
  readonly trustRequestChatTemplate?: boolean
  /** Who may read GET /metrics. Default 'open': everyone, as vLLM has it. */
  readonly metrics?: MetricsAccess
  /** Of OpenTelemetry, for a span of each request that has a model do something. Default: none. */
  readonly tracer?: Tracer
  /** Serve GET /tokenizer_info, which tells the model's chat template. Default false. */
  readonly enableTokenizerInfoEndpoint?: boolean
}

const defaultBodyLimit = 32 * 1024 * 1024
const defaultWriteTimeoutMs = 60_000
const defaultPingIntervalMs = 15_000

/**
 * The OpenAI-compatible endpoints as a Fastify plugin: `app.register(octavoPlugin, { engine, prefix: '/llm' })` serves
 * /llm/v1/chat/completions and the others. Parsers, hooks and errors stay within it.
 * @throws InvalidConfigError for an API key that no request can show
 */
export async function octavoPlugin(app: FastifyInstance, options: OctavoPluginOptions): Promise<void> {
  const server = mountServer(app, options)
  // Without a prefix, what nobody serves is the program's own matter.
  if (app.prefix !== '') answerUnknownPaths(app, server)
  app.addHook('preClose', async () => {
    // Not awaited: the framework stops accepting connections right after this hook, and waits for the open ones by itself.
    void server.inFlight.drain(options.drainTimeoutMs ?? defaultDrainTimeoutMs).then(() => {
      setTimeout(() => app.server.closeIdleConnections(), flushMs)
    })
  })
}

/** Sockets kept alive by their clients would hold the port; a last answer gets this long to leave. */
export const flushMs = 50

export const defaultDrainTimeoutMs = 30_000

/** Adds everything to this very app. */
export function mountServer(app: FastifyInstance, options: OctavoPluginOptions): ServerContext {
  const logger = timedLogger(options.logger ?? silentLogger)
  const { apiKeys, authenticate, engine } = options
  const queue = createQueue(options)
  const server: ServerContext = {
    engine,
    engineFor: (caller) => createCallerEngine({ engine, queue, restartWaitMs: options.restartWaitMs ?? 0 }, caller),
    version: options.version ?? ownVersion(),
    authenticate: createAuthenticate({ apiKeys, authenticate }),
    isAdminKey: createAdminCheck(options.adminApiKey),
    inFlight: new InFlightRequests(),
    turns: new TurnQueue(),
    telemetry: new Telemetry({
      logger,
      tracer: options.tracer ?? null,
      prefix: app.prefix,
      operationOf: (method, route) => findOperation(server.endpoints, method, route),
    }),
    bodyLimit: options.bodyLimit ?? defaultBodyLimit,
    pingMs: options.pingIntervalMs === undefined ? defaultPingIntervalMs : options.pingIntervalMs,
    isolatePrefixCache: options.isolatePrefixCache ?? true,
    responseStore: options.responseStore ?? createMemoryResponseStore(),
    trustRequestChatTemplate: options.trustRequestChatTemplate ?? false,
    endpoints: [],
    explain: (error, explainOptions) => explain(error, explainOptions, logger),
  }
  const isOpen = authenticate === undefined && (apiKeys ?? []).length === 0
  parseJsonBodies(app, server)
  allowOrigins(app, options)
  trackRequests(app, server, options.writeTimeoutMs ?? defaultWriteTimeoutMs)
  if (isOpen) checkHost(app, options.allowedHosts ?? [])
  app.setErrorHandler((error, request, reply) =>
    answerError(server, {
      endpoint: { dialect: dialectOf(request.originalUrl, server.endpoints) },
      error,
      request,
      reply,
    }),
  )
  addStatusEndpoints(app, server)
  addMetrics(app, server, options.metrics ?? 'open')
  const batches = new Batches(app, server, { ...options.batches, logger })
  app.register(async (v1) => addV1(v1, server, batches), { prefix: '/v1' })
  addSleep(app, server)
  addTokenize(app, server)
  addDetokenize(app, server)
  if (options.enableTokenizerInfoEndpoint === true) addTokenizerInfo(app, server)
  addClassify(app, server)
  addPooling(app, server)
  addScore(app, server)
  addRerank(app, server)
  app.register(async (v2) => addRerank(v2, server), { prefix: '/v2' })
  addInvocations(app, server)
  addOpenApi(app, server)
  return server
}

function createQueue({ engine, maxQueuedSeqs, maxNumSeqs }: OctavoPluginOptions): AdmissionQueue | null {
  if (maxQueuedSeqs === undefined) return null
  if (maxNumSeqs === undefined)
    throw new InvalidConfigError('maxQueuedSeqs', 'needs maxNumSeqs; pass what the engine was created with.')
  return new AdmissionQueue({ maxQueuedSeqs, maxNumSeqs, metrics: () => engine.metrics() })
}

export function answerUnknownPaths(app: FastifyInstance, { endpoints }: ServerContext): void {
  app.setNotFoundHandler(async ({ method, originalUrl }) => {
    throw explainUnknownPath(method, originalUrl, endpoints)
  })
}

function addV1(v1: FastifyInstance, server: ServerContext, batches: Batches): void {
  addChatCompletions(v1, server)
  addCompletions(v1, server)
  addResponses(v1, server)
  addModels(v1, server)
  addMessages(v1, server)
  addCountTokens(v1, server)
  addEmbeddings(v1, server)
  addScore(v1, server)
  addRerank(v1, server)
  addRender(v1, server)
  addFiles(v1, server, batches)
  addBatches(v1, server, batches)
}

/** Anything unexpected is logged by its name and where it was thrown; its message stays out, as it may quote a prompt. */
function explain(error: unknown, { requestId, nameOf }: ExplainOptions, logger: Logger): HttpError {
  const httpError = toHttpError(error, nameOf)
  if (httpError.status >= 500 && !(error instanceof HttpError)) {
    const name = error instanceof Error ? error.name : typeof error
    const frames = framesOf(error)
    const fields = { event: 'failure', requestId, error: name, frames: frames.map((frame) => frame.trim()) }
    logger.error([`request ${requestId} failed: ${name}`, ...frames].join('\n'), fields)
  }
  return httpError
}

/** A stack begins with the message, which may hold lines that look like frames. */
function framesOf(error: unknown): string[] {
  if (!(error instanceof Error) || error.stack === undefined) return []
  const at = error.stack.indexOf(error.message)
  const trace = at < 0 ? error.stack : error.stack.slice(at + error.message.length)
  return trace.split('\n').filter((line) => /^\s+at /.test(line))
}

function ownVersion(): string {
  const { version } = createRequire(import.meta.url)('../package.json') as { version: string }
  return version
}
