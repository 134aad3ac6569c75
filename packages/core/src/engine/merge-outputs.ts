import type { CompletionOutput, RequestOutput } from '../sequence/outputs.ts'
import type { GenerateRequest } from './engine-client.ts'

type Merge = (pending: RequestOutput, next: RequestOutput) => RequestOutput

/**
 * How outputs become one while their reader is busy elsewhere, so that what waits for it is bounded by the request's own
 * length: deltas are joined, and of outputs that repeat everything the last one says it all.
 */
export function mergeOf(outputKind: GenerateRequest['outputKind']): Merge {
  return outputKind === 'delta' ? mergeDeltas : (_, next) => next
}

/** `pending` is used up: nobody else has its arrays, since every delta has its own. */
function mergeDeltas(pending: RequestOutput, next: RequestOutput): RequestOutput {
  const outputs = new Map(pending.outputs.map((output) => [output.index, output]))
  for (const output of next.outputs) {
    const before = outputs.get(output.index)
    outputs.set(output.index, before === undefined ? output : join(before, output))
  }
  return { ...next, outputs: [...outputs.values()] }
}

function join(before: CompletionOutput, after: CompletionOutput): CompletionOutput {
  return {
    ...after,
    text: before.text + after.text,
    tokenIds: append(before.tokenIds, after.tokenIds),
    logprobs: before.logprobs && after.logprobs && append(before.logprobs, after.logprobs),
  }
}

/** In place: copying everything for each token would take the square of its length. */
function append<T>(list: readonly T[], items: readonly T[]): T[] {
  const owned = list as T[]
  for (const item of items) owned.push(item)
  return owned
}
