import type { FinishReason } from '../sequence/outputs.ts'
import type { Sequence } from '../sequence/sequence.ts'

export interface Stop {
  readonly finishReason: Extract<FinishReason, 'stop' | 'length'>
  /** The stop token id; `null` for end-of-sequence and for length. */
  readonly stopReason: number | null
}

/** How many more tokens the sequence may have: 0 ends it. */
export function numTokensLeft({ params, numTokens, numOutputTokens }: Sequence, maxModelLen: number): number {
  return Math.min(maxModelLen - numTokens, params.maxTokens === null ? Infinity : params.maxTokens - numOutputTokens)
}

/** Does the output token appended last end the sequence? Stop strings are checked where there is text. */
export function checkStop(sequence: Sequence, maxModelLen: number): Stop | null {
  const { params, numOutputTokens } = sequence
  const last = sequence.outputTokenIds.at(-1)
  if (last === undefined) return null
  // A grammar that is complete ends an output that would be longer: nothing else may follow.
  if (numOutputTokens >= params.minTokens || params.grammar !== null) {
    if (!params.ignoreEos && sequence.request.eosTokenIds.includes(last))
      return { finishReason: 'stop', stopReason: null }
    if (stopTokensOf(params.stopTokenIds).has(last)) return { finishReason: 'stop', stopReason: last }
  }
  return numTokensLeft(sequence, maxModelLen) <= 0 ? { finishReason: 'length', stopReason: null } : null
}

/** A list can be as long as the vocabulary, and every token of every sequence is looked for in it; samples share theirs. */
const stopTokens = new WeakMap<readonly number[], ReadonlySet<number>>()

function stopTokensOf(ids: readonly number[]): ReadonlySet<number> {
  const known = stopTokens.get(ids)
  if (known !== undefined) return known
  const set = new Set(ids)
  stopTokens.set(ids, set)
  return set
}
