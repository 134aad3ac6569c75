import type { TurnQueue } from '@octavo/core'
import type { FastifyReply } from 'fastify'
import type { Dialect } from './dialect.ts'
import type { HttpError } from './http-error.ts'
import { startRawAnswer, writeRaw } from './raw-answer.ts'
import { isWrittenAtOnce, jsonBytes } from './json-bytes.ts'

/** A wrong request fails at once and deserves a real status, so the headers wait for the first event, but not for a long prefill. */
const maxHeaderDelayMs = 2_000
/** A grammar is wrong only when it has been compiled, which may wait for others'. */
const maxGrammarDelayMs = 30_000

export interface EventStreamOptions {
  readonly dialect: Dialect
  /** Fires when nobody listens any more. */
  readonly signal: AbortSignal
  readonly turns: TurnQueue
  /** After so long without an event the dialect's ping is written; `null`: never. */
  readonly pingMs: number | null
  /** Turns a failure in mid-stream into what the client may see. */
  readonly explain: (error: unknown) => HttpError
  /** Default false. */
  readonly hasGrammar?: boolean
}

/**
 * Server-sent events, framed by the dialect. A slow reader slows the producer: the next event is asked for only when
 * the socket took the last one. A failure before the first event throws; a later one becomes an event.
 */
export async function sendEventStream(
  reply: FastifyReply,
  events: AsyncIterable<object>,
  options: EventStreamOptions,
): Promise<FastifyReply> {
  const { dialect, signal, explain, hasGrammar = false } = options
  const iterator = events[Symbol.asyncIterator]()
  const first = iterator.next()
  await settledWithin(first, hasGrammar ? maxGrammarDelayMs : maxHeaderDelayMs)
  startEventStream(reply)
  using pings = new Pings(reply, options)
  try {
    let next = await pings.during(first)
    // Nobody is there any more to make the rest for.
    while (next.done !== true && !reply.raw.destroyed) {
      await writeEvent(reply, next.value, options)
      next = await pings.during(iterator.next())
    }
  } catch (error) {
    await writeRaw(reply, dialect.frameError(explain(error)), signal)
  } finally {
    await iterator.return?.()
  }
  if (!reply.raw.destroyed) reply.raw.end(dialect.endOfStream)
  return reply
}

/** Writes pings while the next event is waited for, and never within one. One timer for a whole stream. */
class Pings implements Disposable {
  readonly #timer: NodeJS.Timeout | null
  /** Since when nothing was written, while an event is waited for. */
  #silentSince: number | null = null

  constructor({ raw }: FastifyReply, { dialect, pingMs }: Pick<EventStreamOptions, 'dialect' | 'pingMs'>) {
    const tick = (): void => {
      const now = performance.now()
      if (pingMs === null || this.#silentSince === null || now - this.#silentSince < pingMs) return
      this.#silentSince = now
      // What a slow reader has not taken yet keeps the stream alive as well.
      if (!raw.destroyed && !raw.writableNeedDrain) raw.write(dialect.ping)
    }
    this.#timer = pingMs === null ? null : setInterval(tick, pingMs / 4)
  }

  async during<Value>(event: Promise<Value>): Promise<Value> {
    this.#silentSince = performance.now()
    try {
      return await event
    } finally {
      this.#silentSince = null
    }
  }

  [Symbol.dispose](): void {
    if (this.#timer !== null) clearInterval(this.#timer)
  }
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
  startRawAnswer(reply, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    // Asks nginx and its like not to hold events back.
    'x-accel-buffering': 'no',
  })
}

/** One of many values, as the echo of a long prompt with its logprobs, is written in turns. */
async function writeEvent(reply: FastifyReply, event: object, options: EventStreamOptions): Promise<void> {
  const { dialect, signal, turns } = options
  const { before, after } = dialect.frameOf(event)
  if (isWrittenAtOnce(event)) return writeRaw(reply, `${before}${JSON.stringify(event)}${after}`, signal)
  await writeRaw(reply, before, signal)
  // Without the signal: what follows an event that stops in its middle, a failure too, could not be read.
  for await (const bytes of jsonBytes(event, { turns })) {
    if (reply.raw.destroyed) return
    await writeRaw(reply, bytes, signal)
  }
  await writeRaw(reply, after, signal)
}
