import type { EngineClient, Logger } from '@octavo/core'
import { silentLogger } from '@octavo/core'
import type { FastifyInstance, FastifyReply } from 'fastify'
import Fastify from 'fastify'
import { createAuthenticate } from './auth.ts'
import { answerMalformedHttp } from './malformed-http.ts'
import { HttpError } from './http-error.ts'
import { ClientGoneError, InFlightRequests } from './in-flight-requests.ts'
import { parseJsonBodies } from './json-body.ts'
import { toErrorBody, toHttpError } from './openai/to-http-error.ts'
import { chooseRequestId } from './request-id.ts'
import { describeRequest } from './request-log.ts'
import { addChatCompletionsRoute } from './routes/chat-completions.ts'
import { addCompletionsRoute } from './routes/completions.ts'
import { addHealthRoute } from './routes/health.ts'
import { addModelListRoute, addModelRoute } from './routes/models.ts'
import { addPingRoute } from './routes/ping.ts'
import { addVersionRoute } from './routes/version.ts'
import type { ServerContext } from './server-context.ts'

/** What a server is made of; everything but the engine and the version has a default. */
export interface AppOptions {
  /** Not shut down with the app: whoever made it ends it. */
  readonly engine: EngineClient
  /** What GET /version says. */
  readonly version: string
  /** Keys of which requests under /v1 must show one ("Authorization: Bearer …"). Default: none, everyone may call. */
  readonly apiKeys?: readonly string[]
  /** Largest body in bytes; beyond it 413. Default 32 MiB. */
  readonly bodyLimit?: number
  /** One line per request and one per unexpected failure; never prompts or outputs. Default: silent. */
  readonly logger?: Logger
  /** How long `close()` lets running requests go on before it aborts them. Default 30000. */
  readonly drainTimeoutMs?: number
  /** Keep the prefix-cache entries of different API keys apart. Default true. */
  readonly isolatePrefixCache?: boolean
  /** Run the Jinja templates that requests bring; a hostile one can keep the server busy. Default false. */
  readonly trustRequestChatTemplate?: boolean
}

const defaultBodyLimit = 32 * 1024 * 1024
/** A body must arrive within this, so that a dribbling client does not hold a socket for ever. */
const requestTimeoutMs = 300_000

/**
 * The OpenAI-compatible server over an engine. `app.inject()` tests it without a socket, `listen(app)` serves it.
 * @throws InvalidConfigError for an empty API key
 */
export function createApp(options: AppOptions): FastifyInstance {
  const logger = options.logger ?? silentLogger
  const inFlight = new InFlightRequests()
  const context: ServerContext = {
    engine: options.engine,
    version: options.version,
    authenticate: createAuthenticate(options.apiKeys ?? []),
    inFlight,
    isolatePrefixCache: options.isolatePrefixCache ?? true,
    trustRequestChatTemplate: options.trustRequestChatTemplate ?? false,
    explain: (error, requestId) => explain(error, requestId, logger),
  }
  const app = Fastify({
    bodyLimit: options.bodyLimit ?? defaultBodyLimit,
    requestTimeout: requestTimeoutMs,
    genReqId: chooseRequestId,
    return503OnClosing: false,
    clientErrorHandler: answerMalformedHttp,
    frameworkErrors: (error, request, reply) => sendError(reply, context.explain(error, request.id)),
  })
  parseJsonBodies(app)
  trackRequests(app, inFlight, logger)
  answerErrors(app, context)
  drainOnClose(app, inFlight, options.drainTimeoutMs ?? 30_000)
  addHealthRoute(app, context)
  addPingRoute(app, context)
  addVersionRoute(app, context)
  app.register(async (v1) => addV1Routes(v1, context), { prefix: '/v1' })
  return app
}

function addV1Routes(v1: FastifyInstance, context: ServerContext): void {
  // By route, not by path: a path can be spelled in many ways.
  v1.addHook('onRequest', async (request) => {
    if (context.authenticate(request.headers.authorization) !== null) return
    const message = 'Missing or wrong API key; send the header "Authorization: Bearer <key>".'
    throw new HttpError(401, message, { headers: { 'www-authenticate': 'Bearer' } })
  })
  addChatCompletionsRoute(v1, context)
  addCompletionsRoute(v1, context)
  addModelListRoute(v1, context)
  addModelRoute(v1, context)
}

function trackRequests(app: FastifyInstance, inFlight: InFlightRequests, logger: Logger): void {
  app.addHook('onRequest', async (request, reply) => {
    const startedAt = performance.now()
    inFlight.open(reply.raw, (isComplete) => {
      logger.info(
        describeRequest(request, {
          status: isComplete ? reply.raw.statusCode : null,
          ms: performance.now() - startedAt,
        }),
      )
    })
    reply.header('x-request-id', request.id)
    if (request.is404)
      throw new HttpError(404, `There is no ${request.method} here; see GET /v1/models for what is served.`)
    if (inFlight.isDraining)
      throw new HttpError(503, 'The server is shutting down.', { headers: { connection: 'close' } })
  })
}

function answerErrors(app: FastifyInstance, context: ServerContext): void {
  app.setErrorHandler((error, request, reply) => {
    // The framework asks to close after a body it did not read to the end; then a client that is still sending would see
    // a reset instead of the answer. Kept open, the rest is read and thrown away, bounded by the request timeout.
    reply.removeHeader('connection')
    if (error instanceof ClientGoneError || reply.raw.destroyed) return void reply.hijack()
    sendError(reply, context.explain(error, request.id))
  })
  app.setNotFoundHandler(async () => {
    throw new HttpError(404, 'There is nothing here.')
  })
}

function sendError(reply: FastifyReply, error: HttpError): void {
  void reply.code(error.status).headers(error.headers).send(toErrorBody(error))
}

/** Anything unexpected is logged by its name and where it was thrown; its message stays out, as it may quote a prompt. */
function explain(error: unknown, requestId: string, logger: Logger): HttpError {
  const httpError = toHttpError(error)
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

/** `close()` returns once running requests are done or aborted and every socket is closed, so the port is free. */
function drainOnClose(app: FastifyInstance, inFlight: InFlightRequests, drainTimeoutMs: number): void {
  app.addHook('preClose', async () => {
    // Not awaited: the framework stops accepting connections right after this hook, and waits for the open ones by itself.
    void inFlight.drain(drainTimeoutMs).then(() => setTimeout(() => app.server.closeAllConnections(), flushMs))
  })
}

/** Sockets kept alive by their clients would hold the port; a last answer gets this long to leave. */
const flushMs = 50
