import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { actingCaller } from './acting-caller.ts'
import { presentedKey } from './access/presented-key.ts'
import { HttpError } from './http-error.ts'
import type { KnownEndpoint } from './known-endpoint.ts'
import type { ServerContext } from './server-context.ts'

const knownMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const

export interface Endpoint extends KnownEndpoint {
  /** Below the prefix of the app; it is served with a slash at its end too. */
  readonly url: string
  /** Default true; false: what is sent as a body is not looked at, and may be empty whatever its type. */
  readonly takesBody?: boolean
  /** How the wire spells a field that core names, in a request with this body. Default: as core does. */
  readonly fieldName?: (field: string, body: unknown) => string
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => unknown
}

/** Adds an endpoint, a 405 for its other methods, and the name under which a 404 may recommend it. */
export function addEndpoint(app: FastifyInstance, server: ServerContext, endpoint: Endpoint): void {
  const { methods, url, handler } = endpoint
  const { access, description, dialect, operation, fieldName } = endpoint
  const path = `${app.prefix}${url}`
  server.endpoints.push({ methods, url: path, access, description, dialect, operation, fieldName, handler })
  const errorHandler = (error: unknown, request: FastifyRequest, reply: FastifyReply): void =>
    answerError(server, { endpoint, error, request, reply })
  const allow = methods.join(', ')
  // By route, not by path: a path can be spelled in many ways.
  const authenticate = accessChecks[endpoint.access ?? 'caller'].map(
    (check) =>
      async (...arrival: Arrival) =>
        await check(server, ...arrival),
  )
  const refuse = async (request: FastifyRequest): Promise<never> => {
    throw new HttpError(405, `${request.method} is not allowed here; use ${allow}.`, { headers: { allow } })
  }
  // The framework answers HEAD where it answers GET.
  const served: readonly string[] = methods.includes('GET') ? [...methods, 'HEAD'] : methods
  const others = knownMethods.filter((method) => !served.includes(method))
  for (const path of url.endsWith('*') ? [url] : [url, `${url}/`]) {
    const config = { takesBody: endpoint.takesBody ?? true }
    const common = { url: path, errorHandler, bodyLimit: server.bodyLimit, config }
    app.route({ ...common, method: [...methods], onRequest: authenticate, handler })
    // In the hook, because a body that nobody wants need not be read first. A refused GET is no reason to offer HEAD.
    const refusal = { method: others, exposeHeadRoute: false, onRequest: [...authenticate, refuse], handler: refuse }
    app.route({ ...common, ...refusal })
  }
}

type Arrival = [request: FastifyRequest, reply: FastifyReply]

type AccessCheck = (server: ServerContext, ...arrival: Arrival) => Promise<void>

const accessChecks: Readonly<Record<NonNullable<Endpoint['access']>, readonly AccessCheck[]>> = {
  anyone: [],
  caller: [checkCaller],
  admin: [checkAdmin],
}

async function checkCaller({ authenticate, inFlight }: ServerContext, ...[request, reply]: Arrival): Promise<void> {
  const { headers, method, url, ip, raw } = request
  const caller = actingCaller() ?? (await authenticate({ headers, method, url, ip, raw }))
  if (caller === null) throw unauthorized('Missing or wrong API key')
  // What only asks for something that is there costs nothing.
  const ticket = method === 'POST' ? caller.meter?.open() : undefined
  inFlight.setCaller(reply.raw, ticket === undefined ? caller : { ...caller, ticket })
  reply.headers({ ...caller.meter?.headers() })
}

async function checkAdmin({ isAdminKey }: ServerContext, ...[request]: Arrival): Promise<void> {
  if (isAdminKey === null) {
    throw new HttpError(
      403,
      'This endpoint is for the operator of the server, who has set no admin key; OCTAVO_ADMIN_API_KEY (adminApiKey) sets one.',
    )
  }
  const key = presentedKey(request.headers)
  if (key === null || !isAdminKey(key)) throw unauthorized('Missing or wrong admin key')
}

function unauthorized(fault: string): HttpError {
  const message = `${fault}; send the header "Authorization: Bearer <key>".`
  return new HttpError(401, message, { headers: { 'www-authenticate': 'Bearer' } })
}

export interface Failure {
  readonly endpoint: Pick<Endpoint, 'dialect' | 'fieldName'>
  readonly error: unknown
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** Answers a failure in the endpoint's dialect. */
export function answerError(server: ServerContext, { endpoint, error, request, reply }: Failure): void {
  // The framework asks to close after a body it did not read to the end; then a client that is still sending would see
  // a reset instead of the answer. Kept open, the rest is read and thrown away, bounded by the request timeout.
  reply.removeHeader('connection')
  if (server.inFlight.isGone(reply.raw, error)) return void reply.hijack()
  const httpError = explainFailure(server, { endpoint, error, request, reply })
  const { dialect } = endpoint
  const body = dialect.errorBody(httpError, server.inFlight.idOf(reply.raw))
  void reply
    .code(dialect.statusOf?.(httpError) ?? httpError.status)
    .headers(httpError.headers)
    .send(body)
}

/** What the client may see of a failure; the log gets what it may not. */
export function explainFailure(server: ServerContext, { endpoint, error, request, reply }: Failure): HttpError {
  const { fieldName = (field: string) => field } = endpoint
  return server.explain(error, {
    requestId: server.inFlight.idOf(reply.raw),
    nameOf: (field) => fieldName(field, request.body),
  })
}
