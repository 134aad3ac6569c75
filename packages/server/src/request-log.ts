import type { FastifyRequest } from 'fastify'

export interface RequestEnd {
  /** `null`: the client was gone before the answer was complete. */
  readonly status: number | null
  readonly ms: number
}

/** "POST /v1/completions 200 123 ms (id)": the route rather than the path, and nothing of body or query. */
export function describeRequest({ id, method, routeOptions }: FastifyRequest, { status, ms }: RequestEnd): string {
  return `${method} ${routeOptions.url ?? '(no route)'} ${status ?? 'client gone'} ${Math.round(ms)} ms (${id})`
}
