import type { ServedModel } from '@octavo/core'
import { modelCardSchema, modelListSchema } from '@octavo/sdk/protocol'
import type { ModelCard, ModelList } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { resolveModel } from '../resolve-model.ts'
import type { ServerContext } from '../server-context.ts'
import { openaiDialect } from './dialect.ts'

const tag = 'Models'

/** GET /v1/models and /v1/models/NAME; a wildcard, because names may be repo ids with a slash. */
export function addModels(app: FastifyInstance, server: ServerContext): void {
  const { engine } = server
  const list = (): ModelList => ({ object: 'list', data: engine.models.map(toModelCard) })
  const one = (request: FastifyRequest): ModelCard => toModelCard(resolveModel(engine, nameIn(request)))
  const common = { methods: ['GET'], dialect: openaiDialect } as const
  const all = { summary: 'The models by the names under which they are served', tag, answer: modelListSchema }
  const byName = { summary: 'One of them; names may hold slashes', tag, answer: modelCardSchema }
  addEndpoint(app, server, { ...common, url: '/models', description: all, handler: list })
  addEndpoint(app, server, { ...common, url: '/models/*', description: byName, handler: one })
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

function nameIn({ params }: FastifyRequest): string {
  const name = typeof params === 'object' && params !== null && '*' in params ? String(params['*']) : ''
  return name.replace(/\/$/, '')
}
