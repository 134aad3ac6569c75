import { uniformAt } from '../util/random.ts'
import { argmax, type Candidates, selectCandidates } from './candidates.ts'
import { processLogits, type SamplingState } from './logits-processors.ts'

/**
 * Draws the next token of one sequence. The draw depends on the logits, the sequence's own tokens and
 * (seed, number of output tokens) alone: never on the batch, nor on what was sampled before a preemption.
 *
 * @param logits one row `[vocabSize]`, changed in place
 * @param seed of this sample; unused when greedy
 */
export function sampleToken(
  logits: Float32Array,
  state: SamplingState,
  options: { eosTokenIds: readonly number[]; seed: number },
): number {
  processLogits(logits, state, options.eosTokenIds)
  if (state.params.temperature === 0) return argmax(logits)
  const candidates = selectCandidates(logits, state.params)
  return draw(candidates, uniformAt(options.seed, state.tokenIds.length - state.numPromptTokens))
}

/** The exact distribution that `sampleToken` draws from, over the whole vocabulary. */
export function nextTokenProbs(
  logits: Float32Array,
  state: SamplingState,
  eosTokenIds: readonly number[],
): Float64Array {
  processLogits(logits, state, eosTokenIds)
  const probs = new Float64Array(logits.length)
  if (state.params.temperature === 0) {
    probs[argmax(logits)] = 1
    return probs
  }
  const candidates = selectCandidates(logits, state.params)
  candidates.tokenIds.forEach((id, i) => (probs[id] = candidates.probs[i]!))
  return probs
}

function draw({ tokenIds, probs }: Candidates, uniform: number): number {
  let cumulative = 0
  for (let i = 0; i < probs.length; i++) {
    cumulative += probs[i]!
    if (uniform < cumulative) return tokenIds[i]!
  }
  return tokenIds[tokenIds.length - 1]! // rounding left the sum just under 1
}
