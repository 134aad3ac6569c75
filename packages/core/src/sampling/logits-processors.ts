import type { SamplingParams } from '../sampling-params.ts'

/** What the next token of one sequence depends on, besides its logits. */
export interface SamplingState {
  readonly params: SamplingParams
  /** Prompt, then output. */
  readonly tokenIds: readonly number[]
  readonly numPromptTokens: number
}

/** A logit bias is clamped to [-100, 100]. */
export const maxBias = 100

/**
 * Changes one row of logits in place: allowed ids → bad words → min tokens → logit bias → repetition, frequency and
 * presence penalty: vLLM's order (`vllm/v1/sample/sampler.py`).
 */
export function processLogits(logits: Float32Array, state: SamplingState, eosTokenIds: readonly number[]): void {
  const { params } = state
  if (params.allowedTokenIds !== null) keepOnly(logits, params.allowedTokenIds)
  for (const id of matchedBadWords(state)) ban(logits, id)
  if (state.tokenIds.length - state.numPromptTokens < params.minTokens) {
    for (const id of eosTokenIds) ban(logits, id)
    for (const id of params.stopTokenIds) ban(logits, id)
  }
  if (params.logitBias !== null) addBias(logits, params.logitBias)
  applyPenalties(logits, state)
}

function ban(logits: Float32Array, tokenId: number): void {
  if (tokenId < logits.length) logits[tokenId] = -Infinity
}

function keepOnly(logits: Float32Array, tokenIds: readonly number[]): void {
  const kept = tokenIds.map((id) => [id, logits[id]!] as const)
  logits.fill(-Infinity)
  for (const [id, value] of kept) logits[id] = value
}

/** The last tokens of the bad words whose other tokens the output ends with. */
export function matchedBadWords({ params, tokenIds, numPromptTokens }: SamplingState): number[] {
  const matched: number[] = []
  for (const word of params.badWordsTokenIds) {
    const prefixLength = word.length - 1
    const start = tokenIds.length - prefixLength
    if (prefixLength < 0 || start < numPromptTokens) continue
    let isMatch = true
    for (let i = 0; i < prefixLength && isMatch; i++) isMatch = tokenIds[start + i] === word[i]
    if (isMatch) matched.push(word[prefixLength]!)
  }
  return matched
}

function addBias(logits: Float32Array, bias: Readonly<Record<number, number>>): void {
  for (const [key, value] of Object.entries(bias)) {
    const id = Number(key)
    logits[id] = logits[id]! + Math.min(maxBias, Math.max(-maxBias, value))
  }
}

function applyPenalties(logits: Float32Array, { params, tokenIds, numPromptTokens }: SamplingState): void {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = params
  if (repetitionPenalty !== 1) {
    for (const id of new Set(tokenIds)) {
      const value = logits[id]!
      logits[id] = value > 0 ? value / repetitionPenalty : value * repetitionPenalty
    }
  }
  if (frequencyPenalty === 0 && presencePenalty === 0) return
  const counts = new Map<number, number>()
  for (let i = numPromptTokens; i < tokenIds.length; i++) counts.set(tokenIds[i]!, (counts.get(tokenIds[i]!) ?? 0) + 1)
  for (const [id, count] of counts) logits[id] = logits[id]! - frequencyPenalty * count - presencePenalty
}
