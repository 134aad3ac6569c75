import type { NoToken, TokenDraw } from '../ops/sample.ts'
import { type Candidates, largestOf, selectCandidates } from './candidates.ts'
import { applyMask } from '../ops/token-mask.ts'

/**
 * Draws the next token of one sequence. The draw depends on the logits and on `draw` alone, which in turn depends on the
 * sequence's own tokens: never on the batch, nor on what was sampled before a preemption.
 *
 * @param logits one row `[vocabSize]`, changed in place
 */
export function drawToken(logits: Float32Array, draw: TokenDraw): number | NoToken {
  applyDraw(logits, draw)
  const largest = largestOf(logits)
  if (Number.isNaN(largest)) return 'nan'
  if (largest === -Infinity) return 'all-banned'
  if (draw.scale === null || largest === Infinity) return logits.indexOf(largest)
  return pick(selectCandidates(logits, { ...draw, scale: draw.scale, largest }), draw.uniform)
}

/** The exact distribution that `drawToken` draws from, over the whole vocabulary; all 0 where there is no token to draw. */
export function nextTokenProbs(logits: Float32Array, draw: TokenDraw): Float64Array {
  applyDraw(logits, draw)
  const probs = new Float64Array(logits.length)
  const largest = largestOf(logits)
  if (Number.isNaN(largest) || largest === -Infinity) return probs
  if (draw.scale === null || largest === Infinity) probs[logits.indexOf(largest)] = 1
  else {
    const { weights, total } = selectCandidates(logits, { ...draw, scale: draw.scale, largest })
    weights.forEach((weight, id) => (probs[id] = weight / total))
  }
  return probs
}

/** Mask → biases → repetition, frequency and presence penalty: vLLM's order (`vllm/v1/sample/sampler.py`). */
function applyDraw(logits: Float32Array, draw: TokenDraw): void {
  if (draw.mask !== null) applyMask(logits, draw.mask)
  for (const { tokenId, value } of draw.biases)
    logits[tokenId] = value === -Infinity ? -Infinity : logits[tokenId]! + value
  if (draw.seen !== null) applyPenalties(logits, draw, draw.seen)
}

function applyPenalties(
  logits: Float32Array,
  { repetitionPenalty, frequencyPenalty, presencePenalty }: TokenDraw,
  { tokenIds, counts }: NonNullable<TokenDraw['seen']>,
): void {
  for (let i = 0; i < tokenIds.length; i++) {
    const id = tokenIds[i]!
    if (repetitionPenalty !== 1) {
      const value = logits[id]!
      logits[id] = value > 0 ? value / repetitionPenalty : value * repetitionPenalty
    }
    const count = counts[i]!
    if (count > 0 && (frequencyPenalty !== 0 || presencePenalty !== 0))
      logits[id] = logits[id]! - frequencyPenalty * count - presencePenalty
  }
}

/** The token in whose share of the total, laid out in ascending id, the number falls. */
function pick({ weights, total }: Candidates, uniform: number): number {
  const target = Math.min(Math.floor(uniform * total), total - 1)
  let id = 0
  let cumulative = weights[0]!
  while (cumulative <= target) cumulative += weights[++id]!
  return id
}
