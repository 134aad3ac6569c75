/**
 * Counter-based random numbers: the value depends on (seed, counter) alone, so a draw is the same whatever ran before it.
 * That is what keeps seeded sampling equal across batches, preemption and restarts.
 */

/** Uniform in [0, 1) with 53 random bits. `seed` may be any safe integer, `counter` a non-negative one. */
export function uniformAt(seed: number, counter: number): number {
  const low = seed >>> 0
  const high = Math.floor(seed / 2 ** 32) >>> 0
  const a = mix(mix(mix(0x9e3779b9 ^ low) ^ high) ^ counter)
  const b = mix(a ^ 0x85ebca6b)
  return ((a >>> 5) * 67_108_864 + (b >>> 6)) / 9_007_199_254_740_992
}

/** A fresh seed for requests that name none. */
export function randomSeed(): number {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER)
}

/** The 32-bit finalizer of MurmurHash3 (Appleby) after a Weyl step, so that zero is no fixed point. */
function mix(value: number): number {
  let x = (value + 0x9e3779b9) | 0
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
  return (x ^ (x >>> 16)) >>> 0
}
