/**
 * Of the likely tokens the one whose surprise is nearest to the surprise expected (typical decoding, Meister et al. 2022,
 * arXiv:2202.00666), from log probabilities.
 */
export function typicalToken(logprobs: Float32Array): number {
  const max = logprobs.reduce((largest, value) => Math.max(largest, value), -Infinity)
  const entropy = logprobs.reduce((sum, value) => sum - (value === -Infinity ? 0 : Math.exp(value) * value), 0)
  let best = logprobs.indexOf(max)
  logprobs.forEach((value, id) => {
    const isLikely = value > max - Math.log(10)
    if (isLikely && Math.abs(-value - entropy) < Math.abs(-logprobs[best]! - entropy)) best = id
  })
  return best
}
