import type { RequestOutput } from '@octavo/core'
import { HttpError } from './http-error.ts'

/** The outputs up to and including the finished one; an engine that stops before it has failed. */
export async function* untilFinished(
  outputs: AsyncIterable<RequestOutput>,
): AsyncGenerator<RequestOutput, void, undefined> {
  for await (const output of outputs) {
    yield output
    if (output.finished) return
  }
  throw new HttpError(500, 'The engine ended this request before it was finished.')
}

/** With `outputKind: 'final'`, the one output. */
export async function finalOutput(outputs: AsyncIterable<RequestOutput>): Promise<RequestOutput> {
  for await (const output of outputs) {
    if (output.finished) return output
  }
  throw new HttpError(500, 'The engine ended this request before it was finished.')
}
