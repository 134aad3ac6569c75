import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'

/** Dimensions of a KV cache. */
export interface KvLayout {
  readonly numLayers: number
  readonly numBlocks: number
  readonly blockSize: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** Bytes of keys and values that one token takes over all layers, in float32. */
export function kvBytesPerToken(layout: Pick<KvLayout, 'numLayers' | 'numKvHeads' | 'headDim'>): number {
  return layout.numLayers * 2 * layout.numKvHeads * layout.headDim * Float32Array.BYTES_PER_ELEMENT
}

/** For implementations: a block id outside the cache is our own bug. */
export function assertBlock({ numBlocks }: KvLayout, blockId: number): void {
  assert(blockId >= 0 && blockId < numBlocks, `block ${blockId} is outside [0, ${numBlocks})`)
}

export function assertSlot({ numBlocks, blockSize }: KvLayout, slot: number): void {
  assert(slot >= 0 && slot < numBlocks * blockSize, `slot ${slot} is outside [0, ${numBlocks * blockSize})`)
}

/**
 * The paged KV cache, written in place by `kvWrite` and read by `pagedAttention`; opaque to tfjs.
 * Per layer one key and one value array `[numBlocks, blockSize, numKvHeads, headDim]`;
 * a slot is `blockId * blockSize + offset`.
 */
export interface KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  /** Copies a whole block in every layer (copy on write). */
  copyBlock(fromBlockId: number, toBlockId: number): void
  /** Writes rows `[n, numKvHeads * headDim]` at `slots`; the reference for the `kvWrite` kernel. */
  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void
  /** Keys and values at `slots` as new tensors `[n, numKvHeads, headDim]`: for composites and tests. */
  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D }
  dispose(): void
}
