import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import Fastify from 'fastify'
import { answerMalformedHttp } from './malformed-http.ts'
import { openaiDialect } from './openai/dialect.ts'
import type { OctavoPluginOptions } from './plugin.ts'
import { answerUnknownPaths, defaultDrainTimeoutMs, flushMs, mountServer } from './plugin.ts'
import { answerError } from './endpoint.ts'
import type { InFlightRequests } from './in-flight-requests.ts'
import type { ServerContext } from './server-context.ts'
import { serverTlsOptions, type TlsOptions } from './tls-options.ts'

export interface AppOptions extends OctavoPluginOptions {
  /** Serves over TLS. Default: plain HTTP. */
  readonly tls?: TlsOptions | undefined
  /** Headers of a request together, in bytes; beyond it 431. Default 16384. */
  readonly maxHeaderBytes?: number
  /** How long `close()` goes on taking requests, while /ready says 503 so that none are sent. Default 0. */
  readonly drainDelayMs?: number
}

/** A body must arrive within this, so that a dribbling client does not hold a socket for ever. */
const requestTimeoutMs = 300_000
const defaultMaxHeaderBytes = 16_384
const keepAliveDelayMs = 30_000
/** Of an id in a path: as long as one that a request chose can get. */
const maxIdLength = 256

/**
 * The OpenAI-compatible server over an engine, as a whole. `app.inject()` tests it without a socket, `listen(app)`
 * serves it; inside a program of another kind: `octavoPlugin`, `toNodeHandler`, `toFetchHandler`.
 * @throws InvalidConfigError for an API key that no request can show
 */
export function createApp(options: AppOptions): FastifyInstance {
  let server: ServerContext | null = null
  const connections = {
    maxHeaderSize: options.maxHeaderBytes ?? defaultMaxHeaderBytes,
    // Finds out that a client is gone which did not say so.
    keepAlive: true,
    keepAliveInitialDelay: keepAliveDelayMs,
  }
  const app = Fastify({
    ...(options.tls === undefined
      ? { http: connections }
      : { https: { ...connections, ...serverTlsOptions(options.tls) } }),
    requestTimeout: requestTimeoutMs,
    routerOptions: { maxParamLength: maxIdLength },
    return503OnClosing: false,
    clientErrorHandler: answerMalformedHttp,
    frameworkErrors: (error, request, reply) => {
      if (server !== null) answerError(server, { endpoint: { dialect: openaiDialect }, error, request, reply })
    },
  })
  server = mountServer(app, options)
  answerUnknownPaths(app, server)
  drainOnClose(app, server.inFlight, options)
  return app
}

/** `close()` returns once running requests are done or aborted and every socket is closed, so the port is free. */
function drainOnClose(app: FastifyInstance, inFlight: InFlightRequests, options: AppOptions): void {
  const { drainDelayMs = 0, drainTimeoutMs = defaultDrainTimeoutMs } = options
  app.addHook('preClose', async () => {
    inFlight.leave()
    if (drainDelayMs > 0) await sleep(drainDelayMs)
    // Not awaited: the framework stops accepting connections right after this hook, and waits for the open ones by itself.
    void inFlight.drain(drainTimeoutMs).then(() => setTimeout(() => app.server.closeAllConnections(), flushMs))
  })
}
