import type { ReduceOp } from '../process-group.ts'

export type ReduceBuffer = Float32Array | Int32Array

/**
 * `((part0 + part1) + part2) + …` in the buffers' own type: a store rounds, so float32 sums are rounded at each step, as
 * the wasm kernel's are. `target` may be the first part.
 */
export function reduceInto(target: ReduceBuffer, parts: readonly ReduceBuffer[], op: ReduceOp): void {
  const [first, ...others] = parts
  if (first !== undefined && first !== target) target.set(first)
  for (const part of others)
    if (op === 'sum') for (let i = 0; i < target.length; i++) target[i]! += part[i]!
    else for (let i = 0; i < target.length; i++) target[i] = Math.max(target[i]!, part[i]!)
}

/** The bytes from `from` to `to` of a buffer, in its own type. */
export function reduceView(buffer: ReduceBuffer, from: number, to: number): ReduceBuffer {
  return buffer.subarray(from / buffer.BYTES_PER_ELEMENT, to / buffer.BYTES_PER_ELEMENT)
}

/** Once for nothing, too: a call without values is still one that all ranks make. */
export function forEachChunk(numBytes: number, chunkBytes: number, body: (from: number, to: number) => void): void {
  for (let from = 0; from === 0 || from < numBytes; from += chunkBytes)
    body(from, Math.min(from + chunkBytes, numBytes))
}

/** In bytes, with the end as the last. */
export function startsOf(splits: readonly number[], elementBytes: number): number[] {
  let start = 0
  return [0, ...splits.map((split) => (start += split * elementBytes))]
}
