import { chatCompletionRequestSchema } from '@octavo/sdk/protocol'
import type { ChatCompletion } from '@octavo/sdk/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { addRoute } from '../add-route.ts'
import { HttpError } from '../http-error.ts'
import { openGeneration } from '../open-generation.ts'
import { chatCompletionAnswer } from '../openai/chat-completion-answer.ts'
import { chatCompletionChunks } from '../openai/chat-completion-chunks.ts'
import { chatToGenerateRequest } from '../openai/chat-completions.ts'
import { finalOutput } from '../openai/engine-outputs.ts'
import { parseWire } from '../openai/parse-wire.ts'
import type { ServerContext } from '../server-context.ts'
import { sendEventStream } from '../sse.ts'

export function addChatCompletionsRoute(app: FastifyInstance, server: ServerContext): void {
  const handler = (request: FastifyRequest, reply: FastifyReply) => createChatCompletion(server, request, reply)
  addRoute(app, { methods: ['POST'], url: '/chat/completions', handler })
}

async function createChatCompletion(
  server: ServerContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<ChatCompletion | FastifyReply> {
  const body = parseWire(chatCompletionRequestSchema, request.body)
  if (body.chat_template != null && !server.trustRequestChatTemplate) {
    const message =
      'chat_template: this server does not run templates that requests bring; its operator can allow them (trustRequestChatTemplate, --trust-request-chat-template).'
    throw new HttpError(400, message, { param: 'chat_template' })
  }
  const { frame, context, signal } = openGeneration(server, { request, reply, options: body, idPrefix: 'chatcmpl' })
  const outputs = server.engine.generate(chatToGenerateRequest(body, context), signal)
  if (body.stream !== true) return chatCompletionAnswer(body, await finalOutput(outputs), frame)
  const explain = (error: unknown) => server.explain(error, request.id)
  return sendEventStream(reply, chatCompletionChunks(body, outputs, frame), { signal, explain })
}
