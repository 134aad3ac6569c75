import type { WarmupPolicy } from '../backend-pack.ts'

/** TensorFlow loads a GPU's kernels and plans its products at first use; on CPUs there is little to gain. */
export function warmupPolicy(isUsingGpu: boolean): WarmupPolicy {
  return { isDefault: isUsingGpu, contextLengths }
}

/** Those to which `groupQueries` pads: multiples of 16, later eight between a power of two and the next. */
function contextLengths(maxModelLen: number): number[] {
  const lengths: number[] = []
  for (let length = 16; length < maxModelLen; length += Math.max(16, 2 ** Math.floor(Math.log2(length)) / 8))
    lengths.push(length)
  return [...lengths, maxModelLen]
}
