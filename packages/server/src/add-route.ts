import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { HttpError } from './http-error.ts'

const knownMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

export interface Route {
  readonly methods: readonly ('GET' | 'POST')[]
  readonly url: string
  readonly handler: (request: FastifyRequest, reply: FastifyReply) => unknown
}

/** Adds a route, and a 405 for its other methods. */
export function addRoute(app: FastifyInstance, { methods, url, handler }: Route): void {
  app.route({ method: [...methods], url, handler })
  const allow = methods.join(', ')
  const refuse = async (request: FastifyRequest): Promise<never> => {
    throw new HttpError(405, `${request.method} is not allowed here; use ${allow}.`, { headers: { allow } })
  }
  const others = knownMethods.filter((method) => !methods.some((own) => own === method))
  // In the hook, because a body that nobody wants need not be read first. A refused GET is no reason to offer HEAD.
  app.route({ method: others, url, exposeHeadRoute: false, onRequest: refuse, handler: refuse })
}
