import { tensor3d } from '@tensorflow/tfjs-core'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assertBlock, assertSlot, kvBytesPerToken } from '../../tensor/kv-storage.ts'
import type { KvLayout, KvStorage } from '../../tensor/kv-storage.ts'
import { assert } from '../../util/assert.ts'
import type { WasmHeap } from './wasm-heap.ts'
import type { Pointer } from './wasm-kernels.ts'

interface LayerPointers {
  readonly keys: Pointer // [numBlocks, blockSize, numKvHeads, headDim]
  readonly values: Pointer
}

/** The paged cache in the wasm heap: per layer one piece, keys first. */
export class WasmKvStorage implements KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  readonly #heap: WasmHeap
  readonly #width: number
  readonly #onDispose: (sizeInBytes: number) => void
  #layers: readonly LayerPointers[] | null

  constructor(heap: WasmHeap, layout: KvLayout, onDispose: (sizeInBytes: number) => void) {
    this.layout = layout
    this.sizeInBytes = layout.numBlocks * layout.blockSize * kvBytesPerToken(layout)
    this.#heap = heap
    this.#width = layout.numKvHeads * layout.headDim
    this.#onDispose = onDispose
    this.#layers = allocateLayers(heap, layout, this.sizeInBytes / layout.numLayers)
  }

  /** Bytes of one token's keys, or values, in one layer. */
  get tokenBytes(): number {
    return this.#width * Float32Array.BYTES_PER_ELEMENT
  }

  /** The arrays of one layer, for kernels. */
  layer(index: number): LayerPointers {
    assert(this.#layers !== null, 'a KV storage was used after dispose')
    const pointers = this.#layers[index]
    assert(pointers !== undefined, `KV layer ${index} of ${this.layout.numLayers}`)
    return pointers
  }

  copyBlock(fromBlockId: number, toBlockId: number): void {
    const { numLayers, blockSize } = this.layout
    for (const id of [fromBlockId, toBlockId]) assertBlock(this.layout, id)
    const length = blockSize * this.#width
    for (let index = 0; index < numLayers; index++) {
      for (const pointer of Object.values(this.layer(index))) {
        this.#array(pointer).copyWithin(toBlockId * length, fromBlockId * length, (fromBlockId + 1) * length)
      }
    }
  }

  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void {
    const width = this.#width
    const pointers = this.layer(layer)
    const keyArray = this.#array(pointers.keys)
    const valueArray = this.#array(pointers.values)
    slots.forEach((slot, i) => {
      assertSlot(this.layout, slot)
      keyArray.set(keys.subarray(i * width, (i + 1) * width), slot * width)
      valueArray.set(values.subarray(i * width, (i + 1) * width), slot * width)
    })
  }

  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D } {
    const { numKvHeads, headDim } = this.layout
    const width = this.#width
    const rowsOf = (pointer: Pointer): Tensor3D => {
      const source = this.#array(pointer)
      const rows = new Float32Array(slots.length * width)
      slots.forEach((slot, i) => {
        assertSlot(this.layout, slot)
        rows.set(source.subarray(slot * width, (slot + 1) * width), i * width)
      })
      return tensor3d(rows, [slots.length, numKvHeads, headDim])
    }
    const pointers = this.layer(layer)
    return { keys: rowsOf(pointers.keys), values: rowsOf(pointers.values) }
  }

  dispose(): void {
    if (this.#layers === null) return
    for (const { keys } of this.#layers) this.#heap.free(keys)
    this.#layers = null
    this.#onDispose(this.sizeInBytes)
  }

  #array(pointer: Pointer): Float32Array {
    return this.#heap.floats(pointer, this.layout.numBlocks * this.layout.blockSize * this.#width)
  }
}

/**
 * All layers or none. NOTE: not zeroed, so that memory is taken from the machine only as blocks are written; no kernel reads
 * a slot before that.
 */
function allocateLayers(heap: WasmHeap, layout: KvLayout, layerBytes: number): LayerPointers[] {
  const layers: LayerPointers[] = []
  try {
    for (let index = 0; index < layout.numLayers; index++) {
      const keys = heap.allocate(layerBytes, `layer ${index} of a KV cache of ${layout.numBlocks} blocks`)
      layers.push({ keys, values: keys + layerBytes / 2 })
    }
    return layers
  } catch (error) {
    for (const { keys } of layers) heap.free(keys)
    throw error
  }
}
