import type { FinishReason } from '@octavo/core'
import type { WireFinishReason } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'

/** @throws HttpError 500 where the engine failed on the request */
export function toWireFinishReason(reason: FinishReason | null): WireFinishReason | null {
  if (reason === 'error') throw new HttpError(500, 'The engine failed while it worked on this request.')
  return reason
}
