/** A figure with its 95 % interval. */
export interface Estimate {
  readonly value: number
  readonly low: number
  readonly high: number
}

/** What belongs together, such as the tokens of one text: sums over it, since neighbours are alike. */
export interface Cluster {
  readonly sum: number
  readonly count: number
}

const z = 1.959963984540054
const numResamples = 2000

/** Of a share, `numRight` of `numItems`: Wilson's interval (JASA 22:158, 1927), which stays within 0 and 1. */
export function wilsonEstimate(numRight: number, numItems: number): Estimate {
  const p = numRight / numItems
  const scale = 1 / (1 + (z * z) / numItems)
  const centre = scale * (p + (z * z) / (2 * numItems))
  const half = scale * z * Math.sqrt((p * (1 - p)) / numItems + (z * z) / (4 * numItems * numItems))
  return {
    value: p,
    // Exactly, not but for rounding.
    low: numRight === 0 ? 0 : centre - half,
    high: numRight === numItems ? 1 : centre + half,
  }
}

/**
 * Of a mean over the members of all clusters: percentiles of 2,000 resamples of whole clusters (Efron's bootstrap). The
 * same seed gives the same interval; of one cluster there is none, and both ends are the mean.
 */
export function bootstrapMean(clusters: readonly Cluster[], seed: number): Estimate {
  const total = clusters.reduce((sum, cluster) => sum + cluster.sum, 0)
  const count = clusters.reduce((sum, cluster) => sum + cluster.count, 0)
  const random = createRandom(seed)
  const means = new Float64Array(numResamples)
  for (let i = 0; i < numResamples; i++) {
    let resampledSum = 0
    let resampledCount = 0
    for (let n = 0; n < clusters.length; n++) {
      const cluster = clusters[Math.floor(random() * clusters.length)]!
      resampledSum += cluster.sum
      resampledCount += cluster.count
    }
    means[i] = resampledSum / resampledCount
  }
  means.sort()
  return { value: total / count, low: quantile(means, 0.025), high: quantile(means, 0.975) }
}

/** Of single values, each a cluster of its own. */
export function bootstrapValues(values: readonly number[], seed: number): Estimate {
  return bootstrapMean(
    values.map((sum) => ({ sum, count: 1 })),
    seed,
  )
}

/** A mean of logarithms as what it is the logarithm of. */
export function expEstimate({ value, low, high }: Estimate): Estimate {
  return { value: Math.exp(value), low: Math.exp(low), high: Math.exp(high) }
}

export function isWithin(value: number, { low, high }: Estimate): boolean {
  return value >= low && value <= high
}

/** Of sorted values, between neighbours linearly. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const at = share * (sorted.length - 1)
  const below = sorted[Math.floor(at)] ?? NaN
  const above = sorted[Math.ceil(at)] ?? NaN
  return below + (above - below) * (at - Math.floor(at))
}

/** mulberry32: numbers in [0, 1). */
function createRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
