import type { ResponseEvent, ResponseItem, ResponseObject } from '@octavo/sdk/protocol'

/** A response, and what there must be to go on from it. JSON can write it. */
export interface StoredResponse {
  readonly response: ResponseObject
  /** What the model was given, in order: the conversation before it, then its own input. */
  readonly items: readonly ResponseItem[]
  /** How many of them, at the end, are its own input. */
  readonly numOwnItems: number
  /** Of one that was made in the background as a stream; `null` = it was not, or has not ended. */
  readonly events: readonly ResponseEvent[] | null
  /** About how many bytes the items take. */
  readonly itemsSize: number
  /** About how many bytes all this takes. */
  readonly size: number
}

/**
 * Where responses are kept. What one tenant keeps, no other can find: the same id may be in use by both. `null` is the
 * tenant of a server without keys.
 */
export interface ResponseStore {
  get(tenant: string | null, id: string): StoredResponse | null | Promise<StoredResponse | null>
  /** Takes the place of one with the same id. False: it is not kept. */
  put(tenant: string | null, stored: StoredResponse): boolean | Promise<boolean>
  /** False: there is none. */
  delete(tenant: string | null, id: string): boolean | Promise<boolean>
}
