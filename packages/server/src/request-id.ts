import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

const allowed = /^[\w.:-]{1,128}$/

/** The caller's X-Request-Id where it is fit to be repeated in headers and logs, else a new one. */
export function chooseRequestId({ headers }: Pick<IncomingMessage, 'headers'>): string {
  return clientRequestId(headers) ?? randomUUID()
}

export function clientRequestId(headers: IncomingMessage['headers']): string | null {
  const given = headers['x-request-id']
  return typeof given === 'string' && allowed.test(given) ? given : null
}
