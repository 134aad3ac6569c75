import type { RequestOutput } from '@octavo/core'
import type { ResponseEvent, ResponseObject } from '@octavo/sdk/protocol'
import { untilFinished } from '../../engine-outputs.ts'
import { HttpError } from '../../http-error.ts'
import type { ResponseWriter } from './response-writer.ts'

export interface ResponseWork {
  readonly writer: ResponseWriter
  readonly outputs: AsyncIterable<RequestOutput>
  readonly signal: AbortSignal
  /** Keeps what there is, before anybody is told that it is all. */
  readonly keep: () => Promise<void>
  readonly explain: (error: unknown) => HttpError
}

/**
 * The events of a response. With 'queued' it exists before the engine has looked at it; else what the engine refuses
 * is a failure of the request, of which no response comes.
 */
export async function* responseEvents(
  { writer, outputs, signal, keep, explain }: ResponseWork,
  status: 'queued' | 'in_progress',
): AsyncGenerator<ResponseEvent, void, undefined> {
  if (status === 'queued') yield* writer.begin('queued')
  let hasStarted = false
  try {
    for await (const output of untilFinished(outputs)) {
      if (!hasStarted) yield* status === 'queued' ? writer.start() : writer.begin(status)
      hasStarted = true
      yield* await writer.push(output)
    }
    yield* writer.finish()
  } catch (error) {
    if (!writer.hasBegun || wasGivenUp(signal)) throw error
    const told = writer.fail(explain(error))
    await keep()
    return yield* told
  }
  await keep()
  yield writer.final()
}

/** The response as a whole. */
export async function wholeResponse({ writer, outputs, keep }: ResponseWork): Promise<ResponseObject> {
  for await (const output of untilFinished(outputs)) await writer.push(output)
  writer.finish()
  await keep()
  return writer.response
}

/** Nobody is there any more to be told. A server that ends says so. */
function wasGivenUp({ aborted, reason }: AbortSignal): boolean {
  return aborted && !(reason instanceof HttpError)
}
