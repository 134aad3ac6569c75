import type { LogFields, Logger } from '@octavo/core'
import type { FastifyRequest } from 'fastify'

export interface RequestEnd {
  readonly id: string
  /** `null`: the client was gone before the answer was complete. */
  readonly status: number | null
  readonly ms: number
}

const maxPathLength = 200

/** "POST /v1/completions 200 123 ms (id)": nothing of body or query. */
export function describeRequest({ method, originalUrl }: FastifyRequest, { id, status, ms }: RequestEnd): string {
  const path = originalUrl
    .split('?', 1)[0]!
    .slice(0, maxPathLength)
    .replaceAll(/[^\x21-\x7e]/g, '?')
  return `${method} ${path} ${status ?? 'client gone'} ${Math.round(ms)} ms (${id})`
}

/** Begins each line with the time, unless the logger writes it. */
export function timedLogger(logger: Logger): Logger {
  if (logger.hasTime === true) return logger
  const timed =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (message: string, fields?: LogFields): void =>
      logger[level](`${new Date().toISOString()} ${message}`, fields)
  return { debug: timed('debug'), info: timed('info'), warn: timed('warn'), error: timed('error') }
}
