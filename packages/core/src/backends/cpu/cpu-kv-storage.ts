import { tensor3d } from '@tensorflow/tfjs-core'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assertBlock, assertSlot, kvBytesPerToken } from '../../tensor/kv-storage.ts'
import type { KvLayout, KvStorage } from '../../tensor/kv-storage.ts'
import { assert } from '../../util/assert.ts'

interface LayerArrays {
  readonly keys: Float32Array // [numBlocks, blockSize, numKvHeads, headDim]
  readonly values: Float32Array
}

/** The paged cache as two `Float32Array`s per layer. */
export class CpuKvStorage implements KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  readonly #width: number
  readonly #onDispose: (sizeInBytes: number) => void
  #layers: LayerArrays[] | null

  constructor(layout: KvLayout, onDispose: (sizeInBytes: number) => void) {
    this.layout = layout
    this.#width = layout.numKvHeads * layout.headDim
    this.#onDispose = onDispose
    const numSlots = layout.numBlocks * layout.blockSize
    this.sizeInBytes = numSlots * kvBytesPerToken(layout)
    this.#layers = Array.from({ length: layout.numLayers }, () => ({
      keys: new Float32Array(numSlots * this.#width),
      values: new Float32Array(numSlots * this.#width),
    }))
  }

  /** The arrays of one layer, for kernels. */
  layer(index: number): LayerArrays {
    assert(this.#layers !== null, 'a KV storage was used after dispose')
    const arrays = this.#layers[index]
    assert(arrays !== undefined, `KV layer ${index} of ${this.layout.numLayers}`)
    return arrays
  }

  copyBlock(fromBlockId: number, toBlockId: number): void {
    const { numLayers, blockSize } = this.layout
    for (const id of [fromBlockId, toBlockId]) assertBlock(this.layout, id)
    const length = blockSize * this.#width
    for (let index = 0; index < numLayers; index++) {
      const { keys, values } = this.layer(index)
      keys.copyWithin(toBlockId * length, fromBlockId * length, (fromBlockId + 1) * length)
      values.copyWithin(toBlockId * length, fromBlockId * length, (fromBlockId + 1) * length)
    }
  }

  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void {
    const arrays = this.layer(layer)
    const width = this.#width
    slots.forEach((slot, i) => {
      assertSlot(this.layout, slot)
      arrays.keys.set(keys.subarray(i * width, (i + 1) * width), slot * width)
      arrays.values.set(values.subarray(i * width, (i + 1) * width), slot * width)
    })
  }

  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D } {
    const arrays = this.layer(layer)
    const { numKvHeads, headDim } = this.layout
    const rowsOf = (source: Float32Array): Tensor3D => {
      const rows = new Float32Array(slots.length * this.#width)
      slots.forEach((slot, i) => {
        assertSlot(this.layout, slot)
        rows.set(source.subarray(slot * this.#width, (slot + 1) * this.#width), i * this.#width)
      })
      return tensor3d(rows, [slots.length, numKvHeads, headDim])
    }
    return { keys: rowsOf(arrays.keys), values: rowsOf(arrays.values) }
  }

  dispose(): void {
    if (this.#layers === null) return
    this.#layers = null
    this.#onDispose(this.sizeInBytes)
  }
}
