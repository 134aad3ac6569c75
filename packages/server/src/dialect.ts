import type { HttpError } from './http-error.ts'

/** How one API speaks wherever all its endpoints speak alike: its errors and its streams. */
export interface Dialect {
  /** The body of an answer other than success. */
  errorBody(error: HttpError, requestId?: string): unknown
  /** Default: the error's. */
  statusOf?(error: HttpError): number
  /** What stands around the JSON of an event of a stream: OpenAI's are bare data, other APIs' have names. */
  frameOf(event: object): { readonly before: string; readonly after: string }
  /** A failure in mid-stream, framed: the status has long been sent. */
  frameError(error: HttpError): string
  /** What is written, whole, while nothing else is to tell, so that nobody on the way takes the stream for dead. */
  readonly ping: string
  /** Ends a stream; empty where the last event has said so. */
  readonly endOfStream: string
}
