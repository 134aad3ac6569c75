import { randomUUID } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { GenerationOptions } from '@octavo/sdk/protocol'
import { deriveCacheSalt } from './cache-salt.ts'
import type { AnswerFrame } from './openai/answer-frame.ts'
import type { RequestContext } from './openai/request-context.ts'
import { clientRequestId } from './request-id.ts'
import { resolveModel } from './resolve-model.ts'
import type { ServerContext } from './server-context.ts'

export interface Generation {
  readonly frame: AnswerFrame
  readonly context: RequestContext
  /** Fires when the client goes away or the server can wait no longer. */
  readonly signal: AbortSignal
}

export interface OpenGenerationOptions {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly options: GenerationOptions
  readonly idPrefix: 'chatcmpl' | 'cmpl'
}

/** Names a parsed request: its model, its ids (X-Request-Id wins over the body's request_id), its prefix-cache salt. */
export function openGeneration(
  server: ServerContext,
  { request, reply, options, idPrefix }: OpenGenerationOptions,
): Generation {
  const model = resolveModel(server.engine, options.model ?? null).id
  const id = `${idPrefix}-${clientRequestId(request.headers) ?? options.request_id ?? request.id}`
  const caller = server.isolatePrefixCache ? server.authenticate(request.headers.authorization) : null
  return {
    frame: { id, created: Math.floor(Date.now() / 1000), model },
    context: {
      // A client may repeat an id while the first is still running.
      engineRequestId: `${id}-${randomUUID().slice(0, 8)}`,
      model,
      cacheSalt: deriveCacheSalt(caller ?? { apiKey: null }, options.cache_salt ?? null),
    },
    signal: server.inFlight.signalOf(reply.raw),
  }
}
