import type { TokenDraw } from '../ops/sample.ts'
import type { SamplingParams } from '../sampling-params.ts'
import { uniformAt } from '../util/random.ts'
import { TokenBiases, type TokenBiasesOptions } from './token-biases.ts'
import { TokenCounts } from './token-counts.ts'
import { createTokenMask, intersectMasks } from '../ops/token-mask.ts'
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
  /** The request's `allowedTokenIds`; null allows all. */
  readonly allowedMask: Int32Array | null
  /** What a grammar allows as the next token, as `TokenDraw.mask` has it: set anew before each draw by whoever follows the grammar. */
  grammarMask: Int32Array | null
}

export interface SamplingStateOptions extends TokenBiasesOptions {
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
}

export function createSamplingState(options: SamplingStateOptions): SamplingState {
  const { params, tokenIds, numPromptTokens, vocabSize } = options
  return {
    params,
    tokenIds,
    numPromptTokens,
    counts: new TokenCounts(),
    biases: new TokenBiases(options),
    allowedMask: params.allowedTokenIds && createTokenMask(params.allowedTokenIds, vocabSize),
    grammarMask: null,
  }
}

/** How the next token is drawn: one description for the host's sampler and the `sample` kernel. Holds until the next one. */
export function describeDraw(state: SamplingState): TokenDraw {
  const { params, tokenIds, numPromptTokens, counts, biases, allowedMask, grammarMask } = state
  const { repetitionPenalty, frequencyPenalty, presencePenalty, temperature } = params
  const hasPenalties = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0
  return {
    mask: intersectMasks(allowedMask, grammarMask),
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
