import type { FastifyInstance } from 'fastify'
import { closeOnAbort } from './fetch-handler.ts'
import { HttpError } from './http-error.ts'
import { chooseRequestId } from './request-id.ts'
import type { ServerContext } from './server-context.ts'
import { endStalledAnswer } from './stalled-answer.ts'
import { explainUnknownPath } from './unknown-path.ts'

/** No page frames, sniffs or embeds what is here; pages of ours say what they need themselves. */
const securityHeaders = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
}

/** Names every request, knows of it until its answer has ended, and turns away what nobody serves or comes too late. */
export function trackRequests(
  app: FastifyInstance,
  { inFlight, endpoints, telemetry }: ServerContext,
  writeTimeoutMs: number,
): void {
  app.addHook('onRequest', async (request, reply) => {
    const id = chooseRequestId(request)
    const end = telemetry.open(request, reply, id)
    inFlight.open(reply.raw, id, (isComplete) => end(isComplete ? reply.raw.statusCode : null))
    closeOnAbort(reply.raw)
    endStalledAnswer(reply.raw, writeTimeoutMs)
    // By OpenAI's name, and by Anthropic's.
    reply.headers({ ...securityHeaders, 'x-request-id': id, 'request-id': id })
    // Here, because a body that nobody wants need not be read first.
    if (request.is404) throw explainUnknownPath(request.method, request.originalUrl, endpoints)
    if (inFlight.isDraining)
      throw new HttpError(503, 'The server is shutting down.', { headers: { connection: 'close', 'retry-after': '1' } })
  })
}
