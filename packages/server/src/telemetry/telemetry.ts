import type { ServerResponse } from 'node:http'
import type { Span, Tracer } from '@opentelemetry/api'
import type { EngineClient, LogFields, Logger, RequestStats } from '@octavo/core'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { KnownEndpoint } from '../known-endpoint.ts'
import { describeRequest } from '../request-log.ts'
import { HttpMetrics } from './http-metrics.ts'
import { addLateSpan, endRequestSpan, startRequestSpan } from './request-span.ts'
import { sumStats } from './sum-stats.ts'

export interface TelemetryOptions {
  readonly logger: Logger
  /** `null`: no spans. */
  readonly tracer: Tracer | null
  /** Of the app's paths. */
  readonly prefix: string
  /** What requests of a route have a model do; `null`: nothing. */
  readonly operationOf: (method: string, route: string) => string | null
}

interface WatchedRequest {
  readonly id: string
  readonly method: string
  /** The pattern of the path; `null` where nothing serves it. */
  readonly route: string | null
  readonly startedAt: number
  readonly span: Span | null
  /** As it is served. */
  model: string | null
  /** Of what the engine did for it, by the engine's names; of one that was tried again the last. */
  readonly stats: Map<string, RequestStats>
  hasEnded: boolean
}

type WatchedEngine = Pick<EngineClient, 'generate' | 'pool'>

/** `null`: what the route's requests do needs no model. */
export function findOperation(endpoints: readonly KnownEndpoint[], method: string, route: string): string | null {
  return endpoints.find(({ url, methods }) => url === route && methods.some((one) => one === method))?.operation ?? null
}

/** Watches HTTP requests: a count, a line and, for those that have a model do something, a span of each. Nothing of what they say. */
export class Telemetry {
  readonly http: HttpMetrics
  readonly #options: TelemetryOptions
  readonly #requests = new WeakMap<ServerResponse, WatchedRequest>()

  constructor(options: TelemetryOptions) {
    this.#options = options
    this.http = new HttpMetrics(options.prefix)
  }

  /** @returns what is to be called when the answer is written, or the client is gone before that (status `null`) */
  open(request: FastifyRequest, reply: FastifyReply, id: string): (status: number | null) => void {
    const { method, is404, routeOptions } = request
    const route = is404 || routeOptions.url === undefined ? null : routeOptions.url.replace(/(?<=.)\/$/, '')
    const watched: WatchedRequest = {
      id,
      method,
      route,
      startedAt: performance.now(),
      span: this.#startSpan(request, { id, route }),
      model: null,
      stats: new Map(),
      hasEnded: false,
    }
    this.#requests.set(reply.raw, watched)
    return (status) => this.#end(request, watched, status)
  }

  /** What it does is told of the request. */
  watch(response: ServerResponse, engine: WatchedEngine): WatchedEngine {
    const watched = this.#requests.get(response)
    if (watched === undefined) return engine
    const noted = <Request extends { readonly requestId: string; readonly model?: string }>(
      request: Request,
    ): Request => {
      watched.model ??= request.model ?? null
      const onEnd = (stats: RequestStats): void => {
        if (watched.hasEnded) this.#endLater(watched, stats)
        else watched.stats.set(request.requestId, stats)
      }
      return { ...request, onEnd }
    }
    return {
      generate: (request, signal) => engine.generate(noted(request), signal),
      ...(engine.pool && { pool: (request, signal) => engine.pool!(noted(request), signal) }),
    }
  }

  #startSpan({ method, headers }: FastifyRequest, { id, route }: { id: string; route: string | null }): Span | null {
    const { tracer, operationOf } = this.#options
    if (tracer === null || route === null) return null
    const operation = operationOf(method, route)
    if (operation === null) return null
    return startRequestSpan(tracer, { requestId: id, method, route, operation, headers })
  }

  #end(request: FastifyRequest, watched: WatchedRequest, status: number | null): void {
    watched.hasEnded = true
    const ms = performance.now() - watched.startedAt
    this.http.count({ ...watched, status, ms })
    if (watched.span !== null) endRequestSpan(watched.span, { ...watched, stats: [...watched.stats.values()], status })
    this.#options.logger.info(
      describeRequest(request, { id: watched.id, status, ms }),
      logFields(watched, { status, ms }),
    )
  }

  /** What was begun by a request that has been answered since, as a response in the background: a line and a span of its own. */
  #endLater({ id, model, span }: WatchedRequest, stats: RequestStats): void {
    const { tracer, logger } = this.#options
    if (tracer !== null && span !== null) addLateSpan(tracer, span, { model, stats })
    const fields = engineFields([stats])
    const words = `${String(fields['completionTokens'])} tokens, ${String(fields['finishReason'])}`
    logger.info(`background work: ${words} (${id})`, {
      event: 'background',
      requestId: id,
      ms: Math.round(stats.endedMs - stats.arrivedMs),
      ...(model !== null && { model }),
      ...fields,
      ...(span !== null && { traceId: span.spanContext().traceId }),
    })
  }
}

function logFields(
  { id, method, route, model, stats, span }: WatchedRequest,
  { status, ms }: { readonly status: number | null; readonly ms: number },
): LogFields {
  return {
    event: 'request',
    requestId: id,
    method,
    route,
    status: status ?? 499,
    ms: Math.round(ms),
    ...(model !== null && { model }),
    ...(stats.size > 0 && engineFields([...stats.values()])),
    ...(span !== null && { traceId: span.spanContext().traceId }),
  }
}

function engineFields(stats: readonly RequestStats[]): Omit<LogFields, 'event'> {
  const { numPromptTokens, numCachedTokens, numGenerationTokens, finishReasons } = sumStats(stats)
  return {
    promptTokens: numPromptTokens,
    cachedTokens: numCachedTokens,
    completionTokens: numGenerationTokens,
    finishReason: [...new Set(finishReasons)].join(','),
  }
}
