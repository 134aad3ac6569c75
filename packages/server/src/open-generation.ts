import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { deriveCacheSalt } from './cache-salt.ts'
import { clientRequestId } from './request-id.ts'
import { requireTask } from './require-task.ts'
import { resolveModel } from './resolve-model.ts'
import type { CallerEngine, ServerContext } from './server-context.ts'

/** What the server adds to a request for a generation. */
export interface Generation {
  /** The client's name for the answer: "chatcmpl-…" */
  readonly id: string
  /** Seconds since 1970. */
  readonly created: number
  readonly model: string
  /** The engine's name for the request: unique even if the client repeats its own ids. */
  readonly engineRequestId: string
  readonly cacheSalt: string | null
  /** Fires when the client goes away or the server can wait no longer. */
  readonly signal: AbortSignal
  /** Runs what the caller asks for. */
  readonly engine: CallerEngine
}

export type IdPrefix = `${string}-` | `${string}_`

export interface OpenGenerationOptions {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** With its separator: "chatcmpl-", "msg_" */
  readonly idPrefix: IdPrefix
  /** What the body says of the three; absent and `null` leave them to the server. */
  readonly wanted: {
    readonly model?: string | null | undefined
    readonly requestId?: string | null | undefined
    readonly cacheSalt?: string | null | undefined
  }
}

/** @throws HttpError where the model is not there, or does not generate */
export function openGeneration(server: ServerContext, options: OpenGenerationOptions): Generation {
  requireTask(resolveModel(server.engine, options.wanted.model ?? null), 'generate')
  return openRequest(server, options)
}

/** Names a parsed request: its model, its ids (X-Request-Id wins over the body's), its prefix-cache salt. */
export function openRequest(
  server: ServerContext,
  { request, reply, idPrefix, wanted }: OpenGenerationOptions,
): Generation {
  const { inFlight } = server
  inFlight.setOfModel(reply.raw)
  const id = `${idPrefix}${clientRequestId(request.headers) ?? wanted.requestId ?? inFlight.idOf(reply.raw)}`
  const caller = inFlight.callerOf(reply.raw)
  return {
    id,
    created: Math.floor(Date.now() / 1000),
    model: resolveModel(server.engine, wanted.model ?? null).id,
    // A client may repeat an id while the first is still running.
    engineRequestId: `${id}-${randomUUID().slice(0, 8)}`,
    cacheSalt: deriveCacheSalt(server.isolatePrefixCache ? caller : { tenant: null }, wanted.cacheSalt ?? null),
    signal: inFlight.signalOf(reply.raw),
    engine: server.telemetry.watch(reply.raw, server.engineFor(caller)),
  }
}
