import type { TokenDraw } from '../ops/sample.ts'
import type { SamplingParams } from '../sampling-params.ts'
import { uniformAt } from '../util/random.ts'
import { TokenBiases, type TokenBiasesOptions } from './token-biases.ts'
import { TokenCounts } from './token-counts.ts'
import { exponentScale, minPOffset } from './weights.ts'

/** What the next token of one sequence depends on, besides its logits. */
export interface SamplingState {
  readonly params: SamplingParams
  /** Prompt, then output. */
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
  /** Kept from step to step. */
  readonly counts: TokenCounts
  readonly biases: TokenBiases
}

export interface SamplingStateOptions extends TokenBiasesOptions {
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
}

export function createSamplingState(options: SamplingStateOptions): SamplingState {
  const { params, tokenIds, numPromptTokens } = options
  return { params, tokenIds, numPromptTokens, counts: new TokenCounts(), biases: new TokenBiases(options) }
}

/** How the next token is drawn: one description for the host's sampler and the `sample` kernel. Holds until the next one. */
export function describeDraw({ params, tokenIds, numPromptTokens, counts, biases }: SamplingState): TokenDraw {
  const { repetitionPenalty, frequencyPenalty, presencePenalty, temperature } = params
  const hasPenalties = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0
  return {
    allowedTokenIds: params.allowedTokenIds,
    biases: biases.at(tokenIds, numPromptTokens),
    seen: hasPenalties ? counts.update(tokenIds, numPromptTokens) : null,
    repetitionPenalty,
    frequencyPenalty,
    presencePenalty,
    scale: temperature === 0 ? null : exponentScale(temperature),
    minPOffset: temperature === 0 ? -Infinity : minPOffset(params.minP, temperature),
    topK: params.topK,
    topP: params.topP,
    uniform: temperature === 0 ? 0 : uniformAt(params.seed ?? 0, tokenIds.length - numPromptTokens),
  }
}
