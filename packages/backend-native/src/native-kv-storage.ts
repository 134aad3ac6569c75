import { tensor3d } from '@tensorflow/tfjs-core'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assert, availableMemory, InsufficientMemoryError, kvBytesPerToken } from '@octavo/core/backend'
import type { KvLayout, KvStorage } from '@octavo/core/backend'
import type { NativeAddon, NativeKvCache } from './native-addon.ts'

/** The paged cache in the addon's memory; pages of it take room only once they are written. */
export class NativeKvStorage implements KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  readonly #onDispose: (sizeInBytes: number) => void
  #cache: NativeKvCache | null

  /** @throws InsufficientMemoryError when the system has no room for it. */
  constructor(addon: NativeAddon, layout: KvLayout, onDispose: (sizeInBytes: number) => void) {
    this.layout = layout
    this.#onDispose = onDispose
    const { numLayers, numBlocks, blockSize, numKvHeads, headDim } = layout
    const numSlots = numBlocks * blockSize
    this.sizeInBytes = numSlots * kvBytesPerToken(layout)
    try {
      this.#cache = new addon.KvCache(numLayers, numSlots, numKvHeads * headDim, headDim, layout.dtype)
    } catch (error) {
      throw new InsufficientMemoryError(
        `There is no room for a KV cache of ${numBlocks} blocks (${this.sizeInBytes} bytes): ${error instanceof Error ? error.message : String(error)}. Set kvCacheMemory to less, or kvCacheDtype to bfloat16 or int8.`,
        this.sizeInBytes,
        availableMemory(),
      )
    }
  }

  /** For kernels. */
  get cache(): NativeKvCache {
    assert(this.#cache !== null, 'a KV storage was used after dispose')
    return this.#cache
  }

  copyBlock(fromBlockId: number, toBlockId: number): void {
    const { numBlocks, blockSize } = this.layout
    for (const id of [fromBlockId, toBlockId])
      assert(id >= 0 && id < numBlocks, `block ${id} is outside [0, ${numBlocks})`)
    this.cache.copySlots(fromBlockId * blockSize, toBlockId * blockSize, blockSize)
  }

  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void {
    this.cache.writeRows(layer, slots, keys, values)
  }

  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D } {
    const { numKvHeads, headDim } = this.layout
    const width = numKvHeads * headDim
    const [keys, values] = [new Float32Array(slots.length * width), new Float32Array(slots.length * width)]
    this.cache.readRows(layer, slots, keys, values)
    const shape: [number, number, number] = [slots.length, numKvHeads, headDim]
    return { keys: tensor3d(keys, shape), values: tensor3d(values, shape) }
  }

  dispose(): void {
    if (this.#cache === null) return
    this.#cache.dispose()
    this.#cache = null
    this.#onDispose(this.sizeInBytes)
  }
}
