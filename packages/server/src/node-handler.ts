import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** What `http.createServer`, Express and Connect call for a request. */
export type NodeHandler = (request: IncomingMessage, response: ServerResponse) => void

/**
 * The app as a handler for `http.createServer(…)`, Express (`express().use('/llm', …)`) and their like, before or behind
 * `express.json()`. It answers every request that it is given. Close the app with the program, so that its requests drain.
 */
export function toNodeHandler(app: FastifyInstance): NodeHandler {
  return (request, response) => {
    app.ready((error) => {
      if (error == null) return app.routing(request, response)
      response.destroy(error)
    })
  }
}
