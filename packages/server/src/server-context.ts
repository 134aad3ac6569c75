import type { EngineClient, TurnQueue } from '@octavo/core'
import type { Authenticate, Caller } from './authenticate.ts'
import type { HttpError } from './http-error.ts'
import type { InFlightRequests } from './in-flight-requests.ts'
import type { ResponseStore } from './openai/responses/response-store.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import type { KnownEndpoint } from './known-endpoint.ts'

/** The engine as one caller has it: what it computes is admitted, or refused, and counted. */
export type CallerEngine = Pick<EngineClient, 'generate' | 'pool'>

/** What the endpoints share. */
export interface ServerContext {
  /** What costs a caller nothing; what does is asked of `engineFor`, which `openGeneration` calls. */
  readonly engine: Omit<EngineClient, keyof CallerEngine>
  readonly engineFor: (caller: Caller) => CallerEngine
  readonly version: string
  readonly authenticate: Authenticate
  /** Whether a key is the operator's; `null` where there is none, so that nobody is. */
  readonly isAdminKey: ((key: string) => boolean) | null
  readonly inFlight: InFlightRequests
  readonly bodyLimit: number
  /** Everything that takes time on this thread goes through it: bodies that come in, answers that go out. */
  readonly turns: TurnQueue
  readonly telemetry: Telemetry
  /** For `sendEventStream`: how long a stream may be silent. */
  readonly pingMs: number | null
  readonly isolatePrefixCache: boolean
  readonly responseStore: ResponseStore
  readonly trustRequestChatTemplate: boolean
  /** What has been added so far. */
  readonly endpoints: KnownEndpoint[]
  /** Turns a failure into what the client may see, and logs what it may not. */
  readonly explain: (error: unknown, options: ExplainOptions) => HttpError
}

export interface ExplainOptions {
  readonly requestId: string
  /** How the wire spells a field that core names. */
  readonly nameOf: (field: string) => string
}
