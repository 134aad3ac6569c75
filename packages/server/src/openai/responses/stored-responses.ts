import {
  type DeletedResponse,
  deletedResponseSchema,
  inputItemsQuerySchema,
  type ResponseEvent,
  type ResponseItem,
  type ResponseItemList,
  responseEventSchema,
  responseItemListSchema,
  responseObjectSchema,
  responseQuerySchema,
} from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint, explainFailure } from '../../endpoint.ts'
import { sendEventStream } from '../../event-stream.ts'
import { HttpError } from '../../http-error.ts'
import { parseWire } from '../../parse-wire.ts'
import { sendJson } from '../../send-json.ts'
import type { ServerContext } from '../../server-context.ts'
import { responsesDialect } from './dialect.ts'
import type { KeptResponses } from './kept-responses.ts'
import { noEvents } from './response-run.ts'
import type { StoredResponse } from './response-store.ts'

const common = { dialect: responsesDialect } as const
const tag = 'Responses'

const descriptions = {
  one: {
    GET: {
      summary: 'A response that is kept; as a stream, one that is made in the background',
      tag,
      query: responseQuerySchema,
      answer: responseObjectSchema,
      event: responseEventSchema,
    },
    DELETE: { summary: 'Forget a response', tag, answer: deletedResponseSchema },
  },
  cancel: { summary: 'End a response that is made in the background', tag, answer: responseObjectSchema },
  input: { summary: 'What a response was given', tag, query: inputItemsQuerySchema, answer: responseItemListSchema },
} as const

/** GET and DELETE /v1/responses/ID, POST …/cancel, GET …/input_items. */
export function addStoredResponses(app: FastifyInstance, server: ServerContext, kept: KeptResponses): void {
  const answerWith =
    (answer: Answer) =>
    (request: FastifyRequest, reply: FastifyReply): unknown => {
      const { tenant } = server.inFlight.callerOf(reply.raw)
      const { id } = request.params as { readonly id: string }
      return answer({ server, kept, request, reply, tenant, id })
    }
  addEndpoint(app, server, {
    ...common,
    methods: ['GET', 'DELETE'],
    url: '/responses/:id',
    description: descriptions.one,
    takesBody: false,
    handler: answerWith((asked) => (asked.request.method === 'DELETE' ? remove(asked) : read(asked))),
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['POST'],
    url: '/responses/:id/cancel',
    description: descriptions.cancel,
    takesBody: false,
    handler: answerWith(cancel),
  })
  addEndpoint(app, server, {
    ...common,
    methods: ['GET'],
    url: '/responses/:id/input_items',
    description: descriptions.input,
    handler: answerWith(listInput),
  })
}

interface Asked {
  readonly server: ServerContext
  readonly kept: KeptResponses
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly tenant: string | null
  readonly id: string
}

type Answer = (asked: Asked) => unknown

async function read(asked: Asked): Promise<FastifyReply> {
  const { kept, request, reply, tenant, id } = asked
  const query = parseWire(responseQuerySchema, request.query)
  const options = sendOptions(asked)
  const run = kept.run(tenant, id)
  if (query.stream !== 'true') return sendJson(reply, run?.response ?? (await find(asked)).response, options)
  const after = query.starting_after === undefined ? -1 : Number(query.starting_after)
  const events = run?.follow(after, options.signal) ?? replay(await find(asked), after)
  return sendEventStream(reply, events, { ...options, pingMs: asked.server.pingMs, dialect: responsesDialect })
}

async function remove({ kept, tenant, id }: Asked): Promise<DeletedResponse> {
  if (!(await kept.delete(tenant, id))) throw notFound(id)
  return { id, object: 'response', deleted: true }
}

/** Twice is as good as once. */
async function cancel(asked: Asked): Promise<FastifyReply> {
  const run = asked.kept.run(asked.tenant, asked.id)
  if (run !== null) return sendJson(asked.reply, await run.cancel(), sendOptions(asked))
  const { response } = await find(asked)
  if (response.background) return sendJson(asked.reply, response, sendOptions(asked))
  const message = 'Cannot cancel a synchronous response; only those created with background: true.'
  throw new HttpError(400, message, { param: 'id' })
}

async function listInput(asked: Asked): Promise<FastifyReply> {
  const query = parseWire(inputItemsQuerySchema, asked.request.query)
  const { items, numOwnItems } = await find(asked)
  const own = items.slice(items.length - numOwnItems)
  const page = pageOf(query.order === 'asc' ? own : own.toReversed(), query)
  return sendJson(asked.reply, page, sendOptions(asked))
}

function sendOptions({ server, request, reply }: Asked) {
  return {
    turns: server.turns,
    signal: server.inFlight.signalOf(reply.raw),
    explain: (error: unknown) => explainFailure(server, { endpoint: common, error, request, reply }),
  }
}

async function find({ kept, tenant, id }: Asked): Promise<StoredResponse> {
  const stored = await kept.find(tenant, id)
  if (stored === null) throw notFound(id)
  return stored
}

interface Page {
  readonly limit?: string | undefined
  readonly after?: string | undefined
}

const defaultLimit = 20

function pageOf(items: readonly ResponseItem[], { limit, after }: Page): ResponseItemList {
  const before = after === undefined ? -1 : items.findIndex(({ id }) => id === after)
  if (after !== undefined && before < 0)
    throw new HttpError(400, 'after: this response was given no item of this id.', { param: 'after' })
  const data = items.slice(before + 1, before + 1 + Number(limit ?? defaultLimit))
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: before + 1 + data.length < items.length,
  }
}

async function* replay({ events }: StoredResponse, after: number): AsyncGenerator<ResponseEvent, void, undefined> {
  if (events === null) throw noEvents()
  yield* events.slice(after + 1)
}

const maxQuotedLength = 200

function notFound(id: string): HttpError {
  return new HttpError(404, `Response with id '${id.slice(0, maxQuotedLength)}' not found.`, { param: 'id' })
}
