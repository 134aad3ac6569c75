import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { RequestMeter, Ticket } from './access/key-meter.ts'

/** Whom a request comes from. */
export interface Caller {
  /** Callers of one tenant share prefix-cache entries, others never do; `null` = as everyone without a tenant. */
  readonly tenant: string | null
  /** Counts and limits what it asks for. Default: no limits. */
  readonly meter?: RequestMeter
  /** It is a batch, for which nobody waits; the server's own. */
  readonly isBatch?: boolean
  /** What this very request holds; the server's own. */
  readonly ticket?: Ticket
}

/** What can be known of a request before its body is read. */
export interface UnauthenticatedRequest {
  readonly headers: IncomingHttpHeaders
  readonly method: string
  readonly url: string
  readonly ip: string
  /** Node's own object, with what other middleware has put there. */
  readonly raw: IncomingMessage
}

/** Decides who may call; `null` = nobody who may, which is answered with 401. */
export type Authenticate = (request: UnauthenticatedRequest) => Caller | null | Promise<Caller | null>
