import { type CompletionOutput, joinMessages, type RequestOutput } from '@octavo/core'
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

/**
 * With `outputKind: 'parts'`: resolves once all samples have ended, and rejects if one failed. What they have yielded
 * is made when it is read, so that of a large answer no more than a part is held.
 */
export async function whenFinished(outputs: AsyncIterable<RequestOutput>): Promise<AsyncIterable<RequestOutput>> {
  const parts = untilFinished(outputs)
  const first = await parts.next()
  return (async function* () {
    if (first.done !== true) yield first.value
    yield* parts
  })()
}

export interface WholeSample {
  /** One of the outputs that had it. */
  readonly output: RequestOutput
  readonly completion: CompletionOutput
}

/** The samples that come in parts, each as a whole, one after the other. */
export async function* wholeSamples(
  outputs: AsyncIterable<RequestOutput>,
): AsyncGenerator<WholeSample, void, undefined> {
  let parts: CompletionOutput[] = []
  let last: RequestOutput | null = null
  for await (const output of outputs) {
    for (const part of output.outputs) {
      if (last !== null && parts.length > 0 && parts[0]!.index !== part.index) {
        yield { output: last, completion: joined(parts) }
        parts = []
      }
      parts.push(part)
      last = output
    }
  }
  if (last !== null) yield { output: last, completion: joined(parts) }
}

function joined(parts: readonly CompletionOutput[]): CompletionOutput {
  const last = parts.at(-1)!
  if (parts.length === 1) return last
  return {
    ...last,
    text: parts.map(({ text }) => text).join(''),
    tokenIds: parts.flatMap(({ tokenIds }) => tokenIds),
    logprobs: last.logprobs === null ? null : parts.flatMap(({ logprobs }) => logprobs ?? []),
    message: last.message === null ? null : joinMessages(parts.flatMap(({ message }) => message ?? [])),
  }
}
