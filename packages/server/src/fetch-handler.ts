import { AsyncLocalStorage } from 'node:async_hooks'
import type { ServerResponse } from 'node:http'
import { METHODS } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { FastifyInstance, InjectOptions } from 'fastify'

type InjectMethod = NonNullable<InjectOptions['method']>

/** What Hono, Bun, Deno and other servers of the Fetch standard call for a request. */
export type FetchHandler = (request: Request) => Promise<Response>

/** Of one connection, which here is somebody else's. */
const hopHeaders: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding'])

/**
 * The app as a function from Request to Response: `hono.mount('/llm', …)`, `Bun.serve({ fetch })`, `Deno.serve(…)`.
 * Events stream as they come; the request's signal, or giving up the response's body, aborts the work.
 */
export function toFetchHandler(app: FastifyInstance): FetchHandler {
  return async (request) => {
    if (request.bodyUsed) throw new TypeError('The body of this Request was read before; pass a clone() of it.')
    if (!isHttpMethod(request.method)) return new Response(null, { status: 501 })
    const { pathname, search } = new URL(request.url)
    const { signal } = request
    const dispatch = async () =>
      await app.inject({
        method: request.method as InjectMethod,
        url: pathname + search,
        headers: headersOf(request),
        ...(request.body !== null && { payload: Readable.fromWeb(request.body as NodeReadableStream<Uint8Array>) }),
        payloadAsStream: true,
      })
    const answer = await clientSignal.run(signal, dispatch).catch((error: unknown) => {
      throw signal.aborted ? signal.reason : error
    })
    const stream = answer.stream()
    // Whoever stops reading closes no socket: what writes has to hear of it.
    stream.once('close', () => answer.raw.res.destroy())
    const headers = Object.entries(answer.headers).filter(([name]) => !hopHeaders.has(name))
    const hasBody = request.method !== 'HEAD' && ![204, 205, 304].includes(answer.statusCode)
    return new Response(hasBody ? (Readable.toWeb(stream) as ReadableStream) : null, {
      status: answer.statusCode,
      headers: headers.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]])),
    })
  }
}

/** Between `dispatch` and the response there is no socket whose end would show that the client is gone. */
const clientSignal = new AsyncLocalStorage<AbortSignal>()

export function closeOnAbort(response: ServerResponse): void {
  const signal = clientSignal.getStore()
  if (signal === undefined) return
  const close = (): void => void response.destroy()
  if (signal.aborted) return close()
  signal.addEventListener('abort', close, { once: true })
  response.once('close', () => signal.removeEventListener('abort', close))
}

function isHttpMethod(method: string): boolean {
  return METHODS.includes(method)
}

/** A Request has a body without a length, where HTTP has one of the two headers. */
function headersOf({ headers, body }: Request): Record<string, string> {
  const isChunked = body !== null && !headers.has('content-length')
  return { ...Object.fromEntries(headers), ...(isChunked && { 'transfer-encoding': 'chunked' }) }
}
