/** The token whose surprise is nearest to the surprise expected (Meister et al. 2022, arXiv:2202.00666), from log probabilities. */
export function typicalToken(logprobs: Float32Array): number {
  const entropy = logprobs.reduce((sum, value) => sum - (value === -Infinity ? 0 : Math.exp(value) * value), 0)
  let best = 0
  logprobs.forEach((value, id) => {
    if (Math.abs(-value - entropy) < Math.abs(-logprobs[best]! - entropy)) best = id
  })
  return best
}
