import type { EngineClient } from '@octavo/core'
import type { Authenticate } from './auth.ts'
import type { HttpError } from './http-error.ts'
import type { InFlightRequests } from './in-flight-requests.ts'

/** What the routes share. */
export interface ServerContext {
  readonly engine: EngineClient
  readonly version: string
  readonly authenticate: Authenticate
  readonly inFlight: InFlightRequests
  readonly isolatePrefixCache: boolean
  readonly trustRequestChatTemplate: boolean
  /** Turns a failure into what the client may see, and logs what it may not. */
  readonly explain: (error: unknown, requestId: string) => HttpError
}
