import {
  type ResponseRequest,
  responseEventSchema,
  responseObjectSchema,
  responseRequestSchema,
  responsesFieldName,
} from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addEndpoint, type Endpoint } from '../../endpoint.ts'
import { sendEventStream } from '../../event-stream.ts'
import type { HttpError } from '../../http-error.ts'
import { takeJsonSource } from '../../json-body.ts'
import { type Generation, openGeneration } from '../../open-generation.ts'
import { parseWire } from '../../parse-wire.ts'
import { resolveModel } from '../../resolve-model.ts'
import { sendJson } from '../../send-json.ts'
import type { ServerContext } from '../../server-context.ts'
import { type Conversation, openConversation } from './conversation.ts'
import { responsesDialect } from './dialect.ts'
import { fittingOutputs } from './fitting-outputs.ts'
import { mayBeHeld, toGenerateRequest } from './generate-request.ts'
import { idTaken, KeptResponses } from './kept-responses.ts'
import { responseEvents, wholeResponse } from './response-events.ts'
import { responseFrame } from './response-frame.ts'
import { createResponseId } from './response-ids.ts'
import { ResponseRun } from './response-run.ts'
import { ResponseWriter } from './response-writer.ts'
import { sizeOf } from './size-of.ts'
import { addStoredResponses } from './stored-responses.ts'

/** POST /v1/responses, and what becomes of them later. */
export function addResponses(app: FastifyInstance, server: ServerContext): void {
  const kept = new KeptResponses(server.responseStore)
  app.addHook('onClose', () => kept.whenIdle())
  addStoredResponses(app, server, kept)
  const endpoint: Endpoint = {
    methods: ['POST'],
    url: '/responses',
    operation: 'chat',
    dialect: responsesDialect,
    fieldName: responsesFieldName,
    description: {
      summary: 'A response to a text or a conversation',
      tag: 'Generation',
      request: responseRequestSchema,
      answer: responseObjectSchema,
      event: responseEventSchema,
    },
    handler: createResponse,
  }
  addEndpoint(app, server, endpoint)

  async function createResponse(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const body = await server.turns.run(() => parseWire(responseRequestSchema, request.body))
    const wanted = { model: body.model, requestId: body.request_id, cacheSalt: body.cache_salt }
    const generation = openGeneration(server, { request, reply, idPrefix: 'resp_', wanted })
    const job = await openJob({ server, kept, request, reply }, body, generation)
    if (body.background === true) return startInBackground(job)
    return body.stream === true ? streamResponse(job) : sendWhole(job)
  }
}

interface Arrival {
  readonly server: ServerContext
  readonly kept: KeptResponses
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** All that a response is made of. */
interface Job extends Omit<Arrival, 'request'> {
  readonly body: ResponseRequest
  readonly tenant: string | null
  readonly generation: Generation
  readonly conversation: Conversation
  readonly writer: ResponseWriter
  readonly outputs: (signal: AbortSignal) => ReturnType<typeof fittingOutputs>
  readonly explain: (error: unknown) => HttpError
}

async function openJob(arrival: Arrival, body: ResponseRequest, generation: Generation): Promise<Job> {
  const { server, kept, request, reply } = arrival
  const { turns } = server
  const source = takeJsonSource(request.body)
  const { tenant } = server.inFlight.callerOf(reply.raw)
  const id = createResponseId(body.request_id ?? null)
  const find = (other: string) => kept.find(tenant, other)
  if (body.request_id != null && (await find(id)) !== null) throw idTaken()
  const conversation = await openConversation(body, { responseId: id, find, turns })
  const model = resolveModel(server.engine, generation.model)
  const writer = new ResponseWriter({
    request: body,
    frame: responseFrame(body, { id, created: generation.created, model }),
    turns,
  })
  const requestId = server.inFlight.idOf(reply.raw)
  return {
    server,
    kept,
    reply,
    body,
    tenant,
    generation,
    conversation,
    writer,
    outputs: (signal) =>
      fittingOutputs({
        engine: generation.engine,
        items: conversation.items,
        toRequest: (items) => turns.run(() => toGenerateRequest({ request: body, items, generation, source })),
        mayTruncate: body.truncation === 'auto',
        signal,
      }),
    explain: (error) => server.explain(error, { requestId, nameOf: (field) => responsesFieldName(field, body) }),
  }
}

/** In the store, if that is wanted and there is room; what cannot be kept is no reason to lose the answer. */
async function keep({ body, kept, tenant, conversation, writer, explain }: Job): Promise<void> {
  if (body.store === false) return
  const { items, numOwnItems, size } = conversation
  const { response } = writer
  const stored = { response, items, numOwnItems, events: null, itemsSize: size, size: size + sizeOf(response) }
  try {
    if (!(await kept.put(tenant, stored))) writer.setUnstored()
  } catch (error) {
    explain(error)
    writer.setUnstored()
  }
}

async function sendWhole(job: Job): Promise<FastifyReply> {
  const { server, reply, writer, generation, explain } = job
  const { signal } = generation
  const work = { writer, outputs: job.outputs(signal), signal, keep: () => keep(job), explain }
  return sendJson(reply, await wholeResponse(work), { turns: server.turns, signal, explain })
}

function streamResponse(job: Job): Promise<FastifyReply> {
  const { server, reply, body, writer, generation, explain } = job
  const { signal } = generation
  const work = { writer, outputs: job.outputs(signal), signal, keep: () => keep(job), explain }
  return sendEventStream(reply, responseEvents(work, 'in_progress'), {
    dialect: responsesDialect,
    turns: server.turns,
    signal,
    pingMs: server.pingMs,
    explain,
    hasGrammar: mayBeHeld(body),
  })
}

async function startInBackground(job: Job): Promise<FastifyReply> {
  const { server, reply, body, tenant, kept, conversation, writer, generation, explain } = job
  const isStream = body.stream === true
  const run = new ResponseRun({ writer, conversation, isStream })
  const drive = () => run.drive({ outputs: job.outputs(run.signal), explain })
  const work = server.inFlight.openBackground()
  work.signal.addEventListener('abort', () => void run.cancel(work.signal.reason as Error))
  await kept.start(run, { tenant, drive, explain, onEnd: () => work.end() })
  const { signal } = generation
  const options = { turns: server.turns, signal, explain }
  if (!isStream) return sendJson(reply, run.response, options)
  return sendEventStream(reply, run.follow(-1, signal), {
    ...options,
    pingMs: server.pingMs,
    dialect: responsesDialect,
  })
}
