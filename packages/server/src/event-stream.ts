import { once } from 'node:events'
import type { FastifyReply } from 'fastify'
import type { Dialect } from './dialect.ts'
import type { HttpError } from './http-error.ts'

/** A wrong request fails at once and deserves a real status, so the headers wait for the first event, but not for a long prefill. */
const maxHeaderDelayMs = 2_000

export interface EventStreamOptions {
  readonly dialect: Dialect
  /** Fires when nobody listens any more. */
  readonly signal: AbortSignal
  /** Turns a failure in mid-stream into what the client may see. */
  readonly explain: (error: unknown) => HttpError
}

/**
 * Server-sent events, framed by the dialect. A slow reader slows the producer: the next event is asked for only when
 * the socket took the last one. A failure before the first event throws; a later one becomes an event.
 */
export async function sendEventStream(
  reply: FastifyReply,
  events: AsyncIterable<unknown>,
  { dialect, signal, explain }: EventStreamOptions,
): Promise<FastifyReply> {
  const iterator = events[Symbol.asyncIterator]()
  const first = iterator.next()
  await settledWithin(first, maxHeaderDelayMs)
  startEventStream(reply)
  try {
    // Nobody is there any more to make the rest for.
    for (let next = await first; next.done !== true && !reply.raw.destroyed; next = await iterator.next()) {
      await write(reply, dialect.frameEvent(next.value), signal)
    }
  } catch (error) {
    await write(reply, dialect.frameError(explain(error)), signal)
  } finally {
    await iterator.return?.()
  }
  if (!reply.raw.destroyed) reply.raw.end(dialect.endOfStream)
  return reply
}

/** Rejects if the promise rejects within the time; else resolves, at the latest when the time is over. */
async function settledWithin(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}

function startEventStream(reply: FastifyReply): void {
  reply.hijack()
  const headers = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined)
  reply.raw.writeHead(200, {
    ...Object.fromEntries(headers),
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    // Asks nginx and its like not to hold events back.
    'x-accel-buffering': 'no',
  })
  reply.raw.flushHeaders()
}

async function write({ raw }: FastifyReply, text: string, signal: AbortSignal): Promise<void> {
  if (raw.destroyed || raw.write(text) || signal.aborted) return
  // Rejects when the signal fires: the loop then ends through the producer, which has the same signal.
  await once(raw, 'drain', { signal }).catch(() => undefined)
}
