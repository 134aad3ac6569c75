import { tensor3d } from '@tensorflow/tfjs-core'
import type { Tensor3D } from '@tensorflow/tfjs-core'
import { assertBlock, assertSlot, kvBytesPerToken } from '../../tensor/kv-storage.ts'
import type { KvLayout, KvStorage } from '../../tensor/kv-storage.ts'
import { assert } from '../../util/assert.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpScope } from './op-scope.ts'
import { readFloats } from './tensorflow-backend.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'
import { boolAttr, shapeAttr, stringAttr, tfDtype, typeAttr } from './tf-op.ts'

/** Resource variables `[(numSlots + 1) * numKvHeads, headDim]`: a row is one head of one slot. */
interface LayerVariables {
  readonly keys: TfeTensor
  readonly values: TfeTensor
}

/** For names that no other cache of this process has. */
let numCaches = 0

/**
 * The paged cache as two resource variables per layer, which ops write and gather in place. It is never read as a whole:
 * that would copy all of it.
 *
 * One slot more than asked for stays zero: shorter sequences of a group are padded with it.
 */
export class TfKvStorage implements KvStorage {
  readonly layout: KvLayout
  readonly sizeInBytes: number
  readonly dtype: number
  readonly #backend: TensorflowBackend
  readonly #onDispose: (sizeInBytes: number) => void
  #layers: LayerVariables[] | null = []

  /** @throws InsufficientMemoryError when TensorFlow has no room for it; then nothing stays allocated. */
  constructor(backend: TensorflowBackend, layout: KvLayout, onDispose: (sizeInBytes: number) => void) {
    const { numLayers, numBlocks, blockSize, numKvHeads } = layout
    assert((numBlocks * blockSize + 1) * numKvHeads < 2 ** 31, 'a KV cache has too many rows for int32')
    this.layout = layout
    assert(layout.dtype !== 'int8', 'TensorFlow gathers no scaled codes')
    this.dtype = tfDtype[layout.dtype]
    this.#backend = backend
    this.#onDispose = onDispose
    this.sizeInBytes = numBlocks * blockSize * kvBytesPerToken(layout)
    const cache = numCaches++
    try {
      for (let layer = 0; layer < numLayers; layer++) {
        const keys = this.#createVariable(`octavo/kv/${cache}/${layer}/keys`)
        try {
          this.#live.push({ keys, values: this.#createVariable(`octavo/kv/${cache}/${layer}/values`) })
        } catch (error) {
          this.#destroyVariable(keys)
          throw error
        }
      }
    } catch (error) {
      this.#destroyAll()
      throw error
    }
  }

  /** The slot of zeros, for padding. */
  get zeroSlot(): number {
    return this.layout.numBlocks * this.layout.blockSize
  }

  /** Rows at `indices` (any shape) → `[...indices, headDim]`. */
  gatherKeys(ops: OpScope, layer: number, indices: TfeTensor): TfeTensor {
    return this.#gather(ops, this.#layer(layer).keys, indices)
  }

  gatherValues(ops: OpScope, layer: number, indices: TfeTensor): TfeTensor {
    return this.#gather(ops, this.#layer(layer).values, indices)
  }

  /** Writes `keys` and `values` `[n, numKvHeads * headDim]`, or any shape of as many elements, at `rows` `[n * numKvHeads]`. */
  scatter(ops: OpScope, layer: number, write: { rows: TfeTensor; keys: TfeTensor; values: TfeTensor }): void {
    const variables = this.#layer(layer)
    for (const name of ['keys', 'values'] as const) {
      const updates = ops.reshape(ops.cast(write[name], this.dtype), [-1, this.layout.headDim])
      ops.runMany('ResourceScatterUpdate', [variables[name], write.rows, updates], { numOutputs: 0 })
    }
  }

  /** As `scatter` in one op of ours, of float32 keys and values `[n, numKvHeads * headDim]` at `slots` `[n]`. */
  write(ops: OpScope, layer: number, rows: { slots: TfeTensor; keys: TfeTensor; values: TfeTensor }): void {
    const { keys, values } = this.#layer(layer)
    ops.runMany('OctavoKvWrite', [keys, values, rows.keys, rows.values, rows.slots], { numOutputs: 0 })
  }

  /** An op of ours that reads the layer's keys and values in place, between its `query` and its other inputs. */
  attend(ops: OpScope, layer: number, { query, rest }: { query: TfeTensor; rest: readonly TfeTensor[] }): TfeTensor {
    const { keys, values } = this.#layer(layer)
    const name = rest.length === 3 ? 'OctavoPagedAttentionSinks' : 'OctavoPagedAttention'
    return ops.run(name, [query, keys, values, ...rest])
  }

  /** Rows of the variables that hold these slots: `[slots.length * numKvHeads]`, heads of a slot one after the other. */
  rowsOf(slots: Int32Array): Int32Array {
    const { numKvHeads } = this.layout
    const rows = new Int32Array(slots.length * numKvHeads)
    for (let i = 0; i < rows.length; i++) {
      rows[i] = slots[Math.floor(i / numKvHeads)]! * numKvHeads + (i % numKvHeads)
    }
    return rows
  }

  copyBlock(fromBlockId: number, toBlockId: number): void {
    const { blockSize, numLayers } = this.layout
    for (const id of [fromBlockId, toBlockId]) assertBlock(this.layout, id)
    const slotsOf = (block: number): Int32Array =>
      Int32Array.from({ length: blockSize }, (_, i) => block * blockSize + i)
    withOps(this.#backend, (ops) => {
      const from = ops.deviceInts(this.rowsOf(slotsOf(fromBlockId)))
      const rows = ops.deviceInts(this.rowsOf(slotsOf(toBlockId)))
      for (let layer = 0; layer < numLayers; layer++) {
        const [keys, values] = [this.gatherKeys(ops, layer, from), this.gatherValues(ops, layer, from)]
        this.scatter(ops, layer, { rows, keys, values })
      }
    })
  }

  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void {
    for (const slot of slots) assertSlot(this.layout, slot)
    withOps(this.#backend, (ops) => {
      const rows = ops.deviceInts(this.rowsOf(slots))
      this.scatter(ops, layer, { rows, keys: ops.floats(keys), values: ops.floats(values) })
    })
  }

  gather(layer: number, slots: Int32Array): { keys: Tensor3D; values: Tensor3D } {
    const { numKvHeads, headDim } = this.layout
    for (const slot of slots) assertSlot(this.layout, slot)
    return withOps(this.#backend, (ops) => {
      const rows = ops.deviceInts(this.rowsOf(slots))
      const toTensor = (gathered: TfeTensor): Tensor3D =>
        tensor3d(readFloats(ops, gathered), [slots.length, numKvHeads, headDim])
      return {
        keys: toTensor(this.gatherKeys(ops, layer, rows)),
        values: toTensor(this.gatherValues(ops, layer, rows)),
      }
    })
  }

  dispose(): void {
    if (this.#layers === null) return
    this.#destroyAll()
    this.#onDispose(this.sizeInBytes)
  }

  get #live(): LayerVariables[] {
    assert(this.#layers !== null, 'a KV storage was used after dispose')
    return this.#layers
  }

  #layer(index: number): LayerVariables {
    const variables = this.#live[index]
    assert(variables !== undefined, `KV layer ${index} of ${this.layout.numLayers}`)
    return variables
  }

  #gather(ops: OpScope, variable: TfeTensor, rows: TfeTensor): TfeTensor {
    return ops.run('ResourceGather', [variable, rows], [typeAttr('dtype', this.dtype)])
  }

  #createVariable(name: string): TfeTensor {
    const { numBlocks, blockSize, numKvHeads, headDim } = this.layout
    const shape = [(numBlocks * blockSize + 1) * numKvHeads, headDim]
    return withOps(this.#backend, (ops) => {
      const variable = ops.run(
        'VarHandleOp',
        [],
        [
          stringAttr('container', ''),
          stringAttr('shared_name', name),
          typeAttr('dtype', this.dtype),
          shapeAttr('shape', shape),
        ],
      )
      const zeros = ops.run('Fill', [ops.hostInts(shape), this.#backend.scalar(0, this.dtype)])
      ops.runMany('AssignVariableOp', [variable, zeros], { numOutputs: 0 })
      return ops.release(variable)
    })
  }

  #destroyAll(): void {
    for (const { keys, values } of this.#layers ?? [])
      for (const variable of [keys, values]) this.#destroyVariable(variable)
    this.#layers = null
  }

  /** Deleting the handle alone would leave the memory taken. */
  #destroyVariable(variable: TfeTensor): void {
    withOps(this.#backend, (ops) =>
      ops.runMany('DestroyResourceOp', [variable], { numOutputs: 0, attrs: [boolAttr('ignore_lookup_error', true)] }),
    )
    this.#backend.binding.deleteTensor(variable.id)
  }
}
