import type { ServedModel } from '@octavo/core'
import type { ModelCard, ModelList } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addRoute } from '../add-route.ts'
import { resolveModel } from '../resolve-model.ts'
import type { ServerContext } from '../server-context.ts'

export function addModelListRoute(app: FastifyInstance, { engine }: ServerContext): void {
  const handler = (): ModelList => ({ object: 'list', data: engine.models.map(toModelCard) })
  addRoute(app, { methods: ['GET'], url: '/models', handler })
}

/** A wildcard, because names may be repo ids with a slash. */
export function addModelRoute(app: FastifyInstance, { engine }: ServerContext): void {
  const handler = (request: FastifyRequest): ModelCard => toModelCard(resolveModel(engine, wildcard(request)))
  addRoute(app, { methods: ['GET'], url: '/models/*', handler })
}

function toModelCard({ id, root, created, maxModelLen }: ServedModel): ModelCard {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'octavo',
    root,
    parent: null,
    max_model_len: maxModelLen,
    permission: [],
  }
}

function wildcard({ params }: FastifyRequest): string {
  return typeof params === 'object' && params !== null && '*' in params ? String(params['*']) : ''
}
