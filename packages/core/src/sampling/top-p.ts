/** What is left of a distribution: the weights above `threshold`, and of those equal to it the first `numTies`. */
export interface Head {
  readonly threshold: number
  readonly numTies: number
  /** Of the weights that are left. */
  readonly mass: number
}

/** Buckets of like weights in ascending order: below 16 one each, then 16 for each power of two. */
const numBuckets = 464

function bucketOf(weight: number): number {
  const shift = Math.max(0, 27 - Math.clz32(weight))
  return 16 * shift + (weight >>> shift)
}

/**
 * The smallest head of a distribution whose mass reaches `topP` of all: the largest weights, of equal ones the first.
 * One pass sums the mass of buckets of like weights; only the bucket in which the mass is reached is sorted.
 *
 * @param weights whole numbers up to 2^31
 * @param total their sum, above 0
 */
export function topPHead(weights: Uint32Array, total: number, topP: number): Head {
  const wanted = topP * total
  const masses = new Float64Array(numBuckets)
  const counts = new Uint32Array(numBuckets)
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!
    const bucket = bucketOf(weight)
    masses[bucket] = masses[bucket]! + weight
    counts[bucket] = counts[bucket]! + 1
  }
  let above = 0
  let last = numBuckets - 1
  while (above + masses[last]! < wanted) above += masses[last--]!
  const entries = new Uint32Array(counts[last]!)
  let count = 0
  for (let id = 0; id < weights.length; id++) if (bucketOf(weights[id]!) === last) entries[count++] = weights[id]!
  entries.sort()
  let end = entries.length
  for (;;) {
    const threshold = entries[end - 1]!
    let start = end - 1
    while (start > 0 && entries[start - 1] === threshold) start--
    if (start === 0 || above + (end - start) * threshold >= wanted) {
      const numTies = Math.ceil((wanted - above) / threshold)
      return { threshold, numTies, mass: above + numTies * threshold }
    }
    above += (end - start) * threshold
    end = start
  }
}
