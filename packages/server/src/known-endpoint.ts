import type { WireSchema } from '@octavo/sdk/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Dialect } from './dialect.ts'

export type Method = 'GET' | 'POST' | 'DELETE'

/** What /openapi.json says of an endpoint; the schemas are those that it parses by. */
export interface EndpointDescription {
  /** A line without a full stop. */
  readonly summary: string
  /** The group it is listed under. */
  readonly tag: string
  /** Of the JSON body; `requestType` where it comes as something else. */
  readonly request?: WireSchema
  readonly requestType?: string
  /** An object: each of its fields is a parameter of the query. */
  readonly query?: WireSchema
  /** Of the body of a 200; absent: it has none. */
  readonly answer?: WireSchema
  readonly answerType?: string
  /** Of the data of one event, where the answer may be a stream. */
  readonly event?: WireSchema
  /** Of errors. Default: OpenAI's. */
  readonly error?: WireSchema
}

/** What is told of an endpoint. */
export interface KnownEndpoint {
  readonly methods: readonly Method[]
  /** With its prefix; a `*` at the end stands for anything. */
  readonly url: string
  readonly dialect: Dialect
  /** Default 'caller': who shows a key, where keys are asked for. 'admin': who shows the admin key; without one nobody. */
  readonly access?: 'anyone' | 'caller' | 'admin' | undefined
  /** One for all methods, or one each. */
  readonly description: EndpointDescription | Readonly<Partial<Record<Method, EndpointDescription>>>
  /** What it has a model do, in OpenTelemetry's words: 'chat', 'text_completion', 'embeddings', … Its requests have spans. */
  readonly operation?: string | undefined
  /** How the wire spells a field that core names, in a request with this body. Default: as core does. */
  readonly fieldName?: ((field: string, body: unknown) => string) | undefined
  readonly handler?: (request: FastifyRequest, reply: FastifyReply) => unknown
}
