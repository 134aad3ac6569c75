import type { SampleRow } from '../ops/sample.ts'
import { uniformAt } from '../util/random.ts'
import { matchedBadWords, maxBias, type SamplingState } from './logits-processors.ts'
import type { TokenCounts } from './token-counts.ts'
import { exponentScale, minPOffset } from './weights.ts'

export interface SampleRowOptions {
  /** Row of the logits. */
  readonly row: number
  readonly vocabSize: number
  readonly counts: TokenCounts
  readonly eosTokenIds: readonly number[]
  readonly seed: number
}

/**
 * What `sampleToken` does with the sequence's logits, for the `sample` kernel; null where only the host can: logprobs are
 * asked for, or a list of allowed tokens.
 */
export function trySampleRow(state: SamplingState, options: SampleRowOptions): SampleRow | null {
  const { params, tokenIds, numPromptTokens } = state
  if (params.logprobs !== null || params.allowedTokenIds !== null) return null
  const { repetitionPenalty, frequencyPenalty, presencePenalty, temperature } = params
  const hasPenalties = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0
  return {
    row: options.row,
    biases: biasesOf(state, options),
    seen: hasPenalties ? options.counts.update(tokenIds, numPromptTokens) : null,
    repetitionPenalty,
    frequencyPenalty,
    presencePenalty,
    scale: temperature === 0 ? null : exponentScale(temperature),
    minPOffset: temperature === 0 ? -Infinity : minPOffset(params.minP, temperature),
    topK: params.topK,
    topP: params.topP,
    uniform: temperature === 0 ? 0 : uniformAt(options.seed, tokenIds.length - numPromptTokens),
  }
}

/** Bad words → min tokens → logit bias. */
function biasesOf(state: SamplingState, { vocabSize, eosTokenIds }: SampleRowOptions): SampleRow['biases'] {
  const { params, tokenIds, numPromptTokens } = state
  const isTooShort = tokenIds.length - numPromptTokens < params.minTokens
  const banned = [...matchedBadWords(state), ...(isTooShort ? [...eosTokenIds, ...params.stopTokenIds] : [])]
  const biases = banned.filter((id) => id < vocabSize).map((tokenId) => ({ tokenId, value: -Infinity }))
  for (const [key, value] of Object.entries(params.logitBias ?? {})) {
    biases.push({ tokenId: Number(key), value: Math.min(maxBias, Math.max(-maxBias, value)) })
  }
  return biases
}
