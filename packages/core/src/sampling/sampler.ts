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
  if (candidates === null) return argmax(logits)
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
  const candidates = state.params.temperature === 0 ? null : selectCandidates(logits, state.params)
  if (candidates === null) probs[argmax(logits)] = 1
  else candidates.weights.forEach((weight, id) => (probs[id] = weight / candidates.total))
  return probs
}

/** The token in whose share of the total, laid out in ascending id, the number falls. */
function draw({ weights, total }: Candidates, uniform: number): number {
  const target = Math.min(Math.floor(uniform * total), total - 1)
  let id = 0
  let cumulative = weights[0]!
  while (cumulative <= target) cumulative += weights[++id]!
  return id
}
