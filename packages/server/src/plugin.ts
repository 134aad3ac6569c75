import { createRequire } from 'node:module'
import type { EngineClient, Logger } from '@octavo/core'
import { InvalidConfigError, silentLogger, TurnQueue } from '@octavo/core'
import type { FastifyInstance } from 'fastify'
import { AdmissionQueue } from './admission/admission-queue.ts'
import { createCallerEngine } from './admission/caller-engine.ts'
import { addSleep } from './admin/sleep.ts'
import { checkHost } from './allowed-hosts.ts'
import { addCountTokens } from './anthropic/count-tokens.ts'
import { addMessages } from './anthropic/messages.ts'
import type { ApiKeyOptions } from './access/api-key.ts'
import type { Authenticate } from './authenticate.ts'
import { createAdminCheck, createAuthenticate } from './access/create-authenticate.ts'
import { allowOrigins, type CorsOptions } from './cors.ts'
import { answerError } from './endpoint.ts'
import { closeOnAbort } from './fetch-handler.ts'
import { HttpError } from './http-error.ts'
import { InFlightRequests } from './in-flight-requests.ts'
import { parseJsonBodies } from './json-body.ts'
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
import { chooseRequestId } from './request-id.ts'
import { describeRequest, timedLogger } from './request-log.ts'
import type { ExplainOptions, ServerContext } from './server-context.ts'
import { endStalledAnswer } from './stalled-answer.ts'
import { addStatusEndpoints } from './status-endpoints.ts'
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
  /** Where responses are kept that can be read and gone on from. Default: `createMemoryResponseStore()`. */
  readonly responseStore?: ResponseStore
  /** Run the Jinja templates that requests bring; a hostile one can keep the server busy. Default false. */
  readonly trustRequestChatTemplate?: boolean
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
  trackRequests(app, server, { logger, writeTimeoutMs: options.writeTimeoutMs ?? defaultWriteTimeoutMs })
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
  app.register(async (v1) => addV1(v1, server), { prefix: '/v1' })
  addSleep(app, server)
  addTokenize(app, server)
  addDetokenize(app, server)
  if (options.enableTokenizerInfoEndpoint === true) addTokenizerInfo(app, server)
  addClassify(app, server)
  addPooling(app, server)
  addScore(app, server)
  addRerank(app, server)
  app.register(async (v2) => addRerank(v2, server), { prefix: '/v2' })
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

function addV1(v1: FastifyInstance, server: ServerContext): void {
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
}

interface TrackOptions {
  readonly logger: Logger
  readonly writeTimeoutMs: number
}

/** No page frames, sniffs or embeds what is here; pages of ours say what they need themselves. */
const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
}

function trackRequests(
  app: FastifyInstance,
  { inFlight, endpoints }: ServerContext,
  { logger, writeTimeoutMs }: TrackOptions,
): void {
  app.addHook('onRequest', async (request, reply) => {
    const startedAt = performance.now()
    const id = chooseRequestId(request)
    inFlight.open(reply.raw, id, (isComplete) => {
      const status = isComplete ? reply.raw.statusCode : null
      logger.info(describeRequest(request, { id, status, ms: performance.now() - startedAt }))
    })
    closeOnAbort(reply.raw)
    endStalledAnswer(reply.raw, writeTimeoutMs)
    // By OpenAI's name, and by Anthropic's.
    reply.headers({ ...securityHeaders, 'x-request-id': id, 'request-id': id })
    // Here, because a body that nobody wants need not be read first.
    if (request.is404) throw explainUnknownPath(request.method, request.originalUrl, endpoints)
    if (inFlight.isDraining)
      throw new HttpError(503, 'The server is shutting down.', { headers: { connection: 'close', 'retry-after': '1' } })
  })
}

/** Anything unexpected is logged by its name and where it was thrown; its message stays out, as it may quote a prompt. */
function explain(error: unknown, { requestId, nameOf }: ExplainOptions, logger: Logger): HttpError {
  const httpError = toHttpError(error, nameOf)
  if (httpError.status >= 500 && !(error instanceof HttpError)) {
    const name = error instanceof Error ? error.name : typeof error
    logger.error([`request ${requestId} failed: ${name}`, ...framesOf(error)].join('\n'))
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
