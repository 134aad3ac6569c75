import type { Logprob, TokenLogprobs } from '../sequence/outputs.ts'

/**
 * Log-probabilities of one row of raw logits, before penalties and temperature: of the chosen token and of the
 * `numTop` most likely ones (-1 = the whole vocabulary), best first, ties by lower id.
 */
export function computeLogprobs(logits: Float32Array, chosenId: number, numTop: number): TokenLogprobs {
  const logNormalizer = logSumExp(logits)
  const entry = (tokenId: number, rank: number): Logprob => ({
    tokenId,
    logprob: logits[tokenId]! - logNormalizer,
    rank,
  })
  const top = topIds(logits, numTop === -1 ? logits.length : Math.min(numTop, logits.length))
  return { chosen: entry(chosenId, rankOf(logits, chosenId)), top: top.map((id, i) => entry(id, i + 1)) }
}

function logSumExp(logits: Float32Array): number {
  let max = -Infinity
  for (let i = 0; i < logits.length; i++) if (logits[i]! > max) max = logits[i]!
  let sum = 0
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max)
  return max + Math.log(sum)
}

function rankOf(logits: Float32Array, id: number): number {
  const value = logits[id]!
  let rank = 1
  for (let i = 0; i < logits.length; i++) if (logits[i]! > value || (logits[i]! === value && i < id)) rank++
  return rank
}

/** Insertion into a short sorted list beats a sort for the 20 entries that are usual. */
function topIds(logits: Float32Array, count: number): number[] {
  if (count === 0) return []
  const before = (a: number, b: number): number => logits[b]! - logits[a]! || a - b
  if (count > 128) return Array.from(logits.keys()).sort(before).slice(0, count)
  const top: number[] = []
  for (let id = 0; id < logits.length; id++) {
    if (top.length === count && logits[id]! <= logits[top[count - 1]!]!) continue
    let at = top.length
    while (at > 0 && logits[id]! > logits[top[at - 1]!]!) at--
    top.splice(at, 0, id)
    if (top.length > count) top.pop()
  }
  return top
}
