import type { GenerateRequest, RequestOutput } from '@octavo/core'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { completionRequestSchema } from '@octavo/sdk/protocol'
import type { Completion } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addRoute } from '../add-route.ts'
import { mergeAsync } from '../merge-async.ts'
import { openGeneration } from '../open-generation.ts'
import { completionAnswer } from '../openai/completion-answer.ts'
import { completionChunks } from '../openai/completion-chunks.ts'
import { completionToGenerateRequests } from '../openai/completions.ts'
import { finalOutput, untilFinished } from '../openai/engine-outputs.ts'
import { parseWire } from '../openai/parse-wire.ts'
import type { ServerContext } from '../server-context.ts'
import { sendEventStream } from '../sse.ts'

export function addCompletionsRoute(app: FastifyInstance, server: ServerContext): void {
  const handler = (request: FastifyRequest, reply: FastifyReply) => createCompletion(server, request, reply)
  addRoute(app, { methods: ['POST'], url: '/completions', handler })
}

async function createCompletion(
  server: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Completion | FastifyReply> {
  const body = parseWire(completionRequestSchema, request.body)
  const { frame, context, signal } = openGeneration(server, { request, reply, options: body, idPrefix: 'cmpl' })
  const requests = completionToGenerateRequests(body, context)
  const detokenize = server.engine.detokenize?.bind(server.engine) ?? null
  const options = { request: body, frame, detokenize }
  // The prompts live and die together: when one fails, or the answer ends early, the others are stopped.
  const group = new AbortController()
  const groupSignal = AbortSignal.any([signal, group.signal])
  let turn = Promise.resolve()
  const generate = async function* (one: GenerateRequest): AsyncGenerator<RequestOutput, void, undefined> {
    // Tokenizing a thousand prompts in one go would keep every other request waiting: each waits for its turn of the event loop.
    turn = turn.then(() => nextTurn())
    await turn
    yield* server.engine.generate(one, groupSignal)
  }
  try {
    if (body.stream !== true)
      return completionAnswer(await Promise.all(requests.map((one) => finalOutput(generate(one)))), options)
    const outputs = mergeAsync(requests.map((one) => untilFinished(generate(one))))
    const explain = (error: unknown) => server.explain(error, request.id)
    return await sendEventStream(reply, completionChunks(outputs, options), { signal, explain })
  } finally {
    group.abort()
  }
}
