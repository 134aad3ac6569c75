import { assert } from '../util/assert.ts'

/**
 * `softmax`: probabilities over all experts, the largest `topK` kept (Mixtral, Qwen3-MoE).
 * `softmax_topk`: the largest `topK` logits kept, probabilities over those (gpt-oss).
 */
export type MoeScoring = 'softmax' | 'softmax_topk'

export interface MoeRoutingOptions {
  readonly topK: number
  readonly scoring: MoeScoring
  /** Divide the kept probabilities by their sum; for `softmax_topk` they add up to one already. */
  readonly renormalize: boolean
}

export interface MoeRouting {
  /** `[numTokens, topK]`, ascending within a token: the order in which the experts' results are added. */
  readonly expertIds: Int32Array
  /** `[numTokens, topK]`, beside `expertIds`. */
  readonly weights: Float32Array
}

/** Chooses each token's experts from its logits `[numTokens, numExperts]`; of equal logits the lower index wins. */
export function routeTokens(logits: Float32Array, numExperts: number, options: MoeRoutingOptions): MoeRouting {
  const { topK } = options
  assert(topK > 0 && topK <= numExperts, `moe: top ${topK} of ${numExperts} experts`)
  const numTokens = logits.length / numExperts
  const expertIds = new Int32Array(numTokens * topK)
  const weights = new Float32Array(numTokens * topK)
  for (let token = 0; token < numTokens; token++) {
    const row = logits.subarray(token * numExperts, (token + 1) * numExperts)
    const chosen = expertIds.subarray(token * topK, (token + 1) * topK)
    selectTopK(row, chosen)
    scoreExperts(row, chosen, weights.subarray(token * topK, (token + 1) * topK), options)
  }
  return { expertIds, weights }
}

/** Insertion into a short descending list; an expert overtakes another only with a strictly larger logit. */
function selectTopK(row: Float32Array, chosen: Int32Array): void {
  let count = 0
  for (let expert = 0; expert < row.length; expert++) {
    if (count === chosen.length && !(row[expert]! > row[chosen[count - 1]!]!)) continue
    let place = count < chosen.length ? count++ : count - 1
    while (place > 0 && row[expert]! > row[chosen[place - 1]!]!) {
      chosen[place] = chosen[place - 1]!
      place--
    }
    chosen[place] = expert
  }
  chosen.sort()
}

function scoreExperts(row: Float32Array, chosen: Int32Array, weights: Float32Array, options: MoeRoutingOptions): void {
  let max = -Infinity
  for (const logit of row) max = Math.max(max, logit)
  let all = 0
  for (const logit of row) all += Math.exp(logit - max)
  let kept = 0
  for (const expert of chosen) kept += Math.exp(row[expert]! - max)
  const total = options.scoring === 'softmax_topk' || options.renormalize ? kept : all
  chosen.forEach((expert, i) => (weights[i] = Math.exp(row[expert]! - max) / total))
}
