import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assert } from '../util/assert.ts'

/** How keys and values are kept: as computed, rounded to 16 bits, or as 8-bit codes with a float32 scale per token and head. */
export type KvDType = 'float32' | 'bfloat16' | 'int8'

export const allKvDTypes: readonly ['float32', ...KvDType[]] = ['float32', 'bfloat16', 'int8']

/** Dimensions of a KV cache. */
export interface KvLayout {
  readonly dtype: KvDType
  readonly numLayers: number
  readonly numBlocks: number
  readonly blockSize: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** Bytes of one head of one token's keys, or values, its scale included. */
const headBytes: Readonly<Record<KvDType, (headDim: number) => number>> = {
  float32: (headDim) => 4 * headDim,
  bfloat16: (headDim) => 2 * headDim,
  int8: (headDim) => headDim + 4,
}

/** Bytes of keys and values that one token takes over all layers. */
export function kvBytesPerToken(layout: Pick<KvLayout, 'dtype' | 'numLayers' | 'numKvHeads' | 'headDim'>): number {
  return layout.numLayers * 2 * layout.numKvHeads * headBytes[layout.dtype](layout.headDim)
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
 * a slot is `blockId * blockSize + offset`. Rows come and go as float32; `kv-codec.ts` says what the other dtypes make
 * of them.
 */
export interface KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  /** Copies a whole block in every layer (copy on write). */
  copyBlock(fromBlockId: number, toBlockId: number): void
  /** Writes rows `[n, numKvHeads * headDim]` at `slots`; the reference for the `kvWrite` kernel. */
  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void
  /** Keys and values at `slots`, widened exactly, as new tensors `[n, numKvHeads, headDim]`: for composites and tests. */
  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D }
  dispose(): void
}
