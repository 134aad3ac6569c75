const numBuckets = 1024

/**
 * Marks the smallest head of a distribution whose mass reaches `topP`: the most likely entries, of equal ones the first.
 * One pass sums the mass of buckets of like weights, most likely first; only the bucket in which the mass is reached is
 * sorted. So a vocabulary costs two passes, however flat it is.
 *
 * @param weights unnormalized, in (0, 1], the largest 1
 * @returns 1 for each entry that stays
 */
export function topPHead(weights: Float64Array, topP: number): Uint8Array {
  const bucketOf = new Uint16Array(weights.length)
  const mass = new Float64Array(numBuckets)
  let sum = 0
  const scale = numBuckets / -Math.log(Math.max(minOf(weights), Number.MIN_VALUE) / 2)
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!
    const bucket = weight > 0 ? Math.min(numBuckets - 1, Math.floor(-Math.log(weight) * scale)) : numBuckets - 1
    bucketOf[i] = bucket
    mass[bucket] = mass[bucket]! + weight
    sum += weight
  }
  let last = 0
  let massBefore = 0
  while (last < numBuckets - 1 && massBefore + mass[last]! < topP * sum) massBefore += mass[last++]!
  return markHead(bucketOf, last, endOfHead({ weights, bucketOf, last, massBefore, wanted: topP * sum }))
}

interface LastBucket {
  readonly weights: Float64Array
  readonly bucketOf: Uint16Array
  readonly last: number
  readonly massBefore: number
  readonly wanted: number
}

/** The entries of the last bucket that stay. */
function endOfHead({ weights, bucketOf, last, massBefore, wanted }: LastBucket): number[] {
  const entries: number[] = []
  for (let i = 0; i < bucketOf.length; i++) if (bucketOf[i] === last) entries.push(i)
  entries.sort((a, b) => weights[b]! - weights[a]! || a - b)
  let mass = massBefore
  let count = 0
  while (count < entries.length && mass < wanted) mass += weights[entries[count++]!]!
  return entries.slice(0, count)
}

function markHead(bucketOf: Uint16Array, last: number, kept: readonly number[]): Uint8Array {
  const isKept = new Uint8Array(bucketOf.length)
  for (let i = 0; i < bucketOf.length; i++) isKept[i] = bucketOf[i]! < last ? 1 : 0
  for (const i of kept) isKept[i] = 1
  return isKept
}

function minOf(values: Float64Array): number {
  let min = Infinity
  for (let i = 0; i < values.length; i++) if (values[i]! < min) min = values[i]!
  return min
}
