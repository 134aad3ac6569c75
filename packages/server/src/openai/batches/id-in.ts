import type { FastifyRequest } from 'fastify'

/** The part of the path that names something: whatever the client wrote. */
export function idIn({ params }: FastifyRequest): string {
  return typeof params === 'object' && params !== null && 'id' in params ? String(params.id) : ''
}
