import { once } from 'node:events'
import type { OutgoingHttpHeaders } from 'node:http'
import type { FastifyReply } from 'fastify'

/** Sends the headers; what follows is written by hand, and its length is not known. */
export function startRawAnswer(reply: FastifyReply, headers: OutgoingHttpHeaders): void {
  reply.hijack()
  const set = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined)
  reply.raw.writeHead(200, { ...Object.fromEntries(set), ...headers })
  reply.raw.flushHeaders()
}

/** Resolves when there is room for more, nobody is there any more, or the signal says so. */
export async function writeRaw({ raw }: FastifyReply, data: string | Buffer, signal: AbortSignal): Promise<void> {
  if (raw.destroyed || raw.write(data) || signal.aborted) return
  await once(raw, 'drain', { signal }).catch(() => undefined)
}
