import { tensor3d } from '@tensorflow/tfjs-core'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { createKvArray } from '../../tensor/kv-codec.ts'
import type { KvArray } from '../../tensor/kv-codec.ts'
import { assertBlock, assertSlot, kvBytesPerToken } from '../../tensor/kv-storage.ts'
import type { KvLayout, KvStorage } from '../../tensor/kv-storage.ts'
import { assert } from '../../util/assert.ts'
import type { KvRows } from './kernels/attend-sequence.ts'

interface LayerArrays {
  readonly keys: KvArray // [numBlocks, blockSize, numKvHeads, headDim]
  readonly values: KvArray
}

/** The paged cache as two arrays per layer. */
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
      keys: createKvArray(layout.dtype, { ...layout, numSlots }),
      values: createKvArray(layout.dtype, { ...layout, numSlots }),
    }))
  }

  /** The rows at `slots`, which the caller has checked: in place where they are float32, else widened into new arrays. */
  rowsAt(layer: number, slots: Int32Array): KvRows {
    const { keys, values } = this.#layer(layer)
    if (keys.floats !== null && values.floats !== null) return { keys: keys.floats, values: values.floats, rows: slots }
    return {
      keys: this.#read(keys, slots),
      values: this.#read(values, slots),
      rows: Int32Array.from(slots, (_, j) => j),
    }
  }

  copyBlock(fromBlockId: number, toBlockId: number): void {
    const { numLayers, blockSize } = this.layout
    for (const id of [fromBlockId, toBlockId]) assertBlock(this.layout, id)
    for (let index = 0; index < numLayers; index++) {
      const { keys, values } = this.#layer(index)
      for (const array of [keys, values]) array.copy(fromBlockId * blockSize, toBlockId * blockSize, blockSize)
    }
  }

  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void {
    const arrays = this.#layer(layer)
    slots.forEach((slot, i) => {
      assertSlot(this.layout, slot)
      arrays.keys.write(slot, keys, i * this.#width)
      arrays.values.write(slot, values, i * this.#width)
    })
  }

  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D } {
    const { keys, values } = this.#layer(layer)
    const { numKvHeads, headDim } = this.layout
    const shape: [number, number, number] = [slots.length, numKvHeads, headDim]
    for (const slot of slots) assertSlot(this.layout, slot)
    return { keys: tensor3d(this.#read(keys, slots), shape), values: tensor3d(this.#read(values, slots), shape) }
  }

  dispose(): void {
    if (this.#layers === null) return
    this.#layers = null
    this.#onDispose(this.sizeInBytes)
  }

  #layer(index: number): LayerArrays {
    assert(this.#layers !== null, 'a KV storage was used after dispose')
    const arrays = this.#layers[index]
    assert(arrays !== undefined, `KV layer ${index} of ${this.layout.numLayers}`)
    return arrays
  }

  #read(array: KvArray, slots: Int32Array): Float32Array {
    const rows = new Float32Array(slots.length * this.#width)
    slots.forEach((slot, i) => array.read(slot, rows, i * this.#width))
    return rows
  }
}
