import type { EngineClient, ModelTask, PoolingRequest, ServedModel } from '@octavo/core'
import type { PoolingOptions } from '@octavo/sdk/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { HttpError } from '../http-error.ts'
import type { Generation, IdPrefix } from '../open-generation.ts'
import { openRequest } from '../open-generation.ts'
import { requireTask } from '../require-task.ts'
import { resolveModel } from '../resolve-model.ts'
import type { ServerContext } from '../server-context.ts'

/** A parsed request to a model that pools. */
export interface Pooling extends Generation {
  readonly servedModel: ServedModel
  readonly pool: NonNullable<EngineClient['pool']>
}

export interface OpenPoolingOptions {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly idPrefix: IdPrefix
  readonly body: PoolingOptions
  /** The model must do one of them. */
  readonly tasks: readonly ModelTask[]
}

/** @throws HttpError where the model is not there, or does not do it */
export function openPooling(
  server: ServerContext,
  { request, reply, idPrefix, body, tasks }: OpenPoolingOptions,
): Pooling {
  const { engine } = server
  const servedModel = resolveModel(engine, body.model ?? null)
  requireTask(servedModel, ...tasks)
  const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
  const opened = openRequest(server, { request, reply, idPrefix, wanted })
  const { pool } = opened.engine
  if (pool === undefined) throw new HttpError(501, 'The engine of this server makes no vectors.')
  return { ...opened, servedModel, pool }
}

/** What the engine's requests of one body have in common. */
export function commonPoolingFields(
  body: PoolingOptions,
  { model, cacheSalt }: Pooling,
): Omit<PoolingRequest, 'requestId' | 'prompt' | 'params'> {
  return {
    model,
    priority: body.priority ?? 0,
    cacheSalt,
    truncatePromptTokens: body.truncate_prompt_tokens ?? null,
    ...(body.truncation_side != null && { truncationSide: body.truncation_side }),
  }
}
