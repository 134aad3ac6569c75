import type { ServedModel } from '@octavo/core'
import { jsonObjectSchema, scoreSidesOf } from '@octavo/sdk/protocol'
import type { FastifyInstance } from 'fastify'
import { addEndpoint } from './endpoint.ts'
import { HttpError } from './http-error.ts'
import type { KnownEndpoint } from './known-endpoint.ts'
import { openaiDialect } from './openai/dialect.ts'
import { resolveModel } from './resolve-model.ts'
import type { ServerContext } from './server-context.ts'

type Fields = Readonly<Record<string, unknown>>

/** POST /invocations, where SageMaker sends everything: the body's fields, and what the model does, say which endpoint is meant. */
export function addInvocations(app: FastifyInstance, server: ServerContext): void {
  const targetOf = (body: unknown): KnownEndpoint => {
    const fields = typeof body === 'object' && body !== null ? (body as Fields) : {}
    const url = `${app.prefix}${pathFor(fields, () => modelOf(fields, server))}`
    const target = server.endpoints.find((endpoint) => endpoint.url === url)
    if (target?.handler === undefined) throw new HttpError(404, `This server has no ${url}.`)
    return target
  }
  addEndpoint(app, server, {
    methods: ['POST'],
    url: '/invocations',
    dialect: openaiDialect,
    description: {
      summary: 'What SageMaker sends: as the endpoint that the fields of the body are for',
      tag: 'Server',
      request: jsonObjectSchema,
      answer: jsonObjectSchema,
    },
    fieldName: (field, body) => targetOf(body).fieldName?.(field, body) ?? field,
    handler: (request, reply) => targetOf(request.body).handler!(request, reply),
  })
}

/** As vLLM tries them, the first that fits. @throws HttpError 400 where none does */
function pathFor(body: Fields, model: () => ServedModel): string {
  const has = (...names: readonly string[]): boolean => names.every((name) => body[name] != null)
  if (has('query', 'documents')) return '/rerank'
  if (has(...scoreSidesOf(body))) return '/score'
  if (has('prompt')) return '/v1/completions'
  if (!has('messages') && !has('input')) {
    const fields = 'messages, prompt, input, query and documents, or text_1 and text_2'
    throw new HttpError(400, `The body has none of the fields by which an endpoint could be found: ${fields}.`)
  }
  const { tasks } = model()
  if (has('messages') && tasks.includes('generate')) return '/v1/chat/completions'
  if (has('task')) return '/pooling'
  if (tasks.includes('embed')) return '/v1/embeddings'
  return tasks.includes('classify') ? '/classify' : '/pooling'
}

function modelOf({ model }: Fields, { engine }: ServerContext): ServedModel {
  return resolveModel(engine, typeof model === 'string' ? model : null)
}
