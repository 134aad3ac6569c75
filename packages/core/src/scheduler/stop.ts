import type { FinishReason } from '../sequence/outputs.ts'
import type { Sequence } from '../sequence/sequence.ts'

export interface Stop {
  readonly finishReason: Extract<FinishReason, 'stop' | 'length'>
  /** The stop token id; `null` for end-of-sequence and for length. */
  readonly stopReason: number | null
}

/** Does the output token appended last end the sequence? Stop strings are checked where there is text. */
export function checkStop(sequence: Sequence, maxModelLen: number): Stop | null {
  const { params, numOutputTokens } = sequence
  const last = sequence.outputTokenIds.at(-1)
  if (last === undefined) return null
  if (numOutputTokens >= params.minTokens) {
    if (!params.ignoreEos && sequence.request.eosTokenIds.includes(last))
      return { finishReason: 'stop', stopReason: null }
    if (params.stopTokenIds.includes(last)) return { finishReason: 'stop', stopReason: last }
  }
  const isFull = sequence.numTokens >= maxModelLen || (params.maxTokens !== null && numOutputTokens >= params.maxTokens)
  return isFull ? { finishReason: 'length', stopReason: null } : null
}
