import { rowBytes } from '../../tensor/dtype.ts'
import type { WeightFormat } from '../../tensor/dtype.ts'
import type { FillWeight, PackedWeight, PackedWeightSpec } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'
import type { WasmHeap } from './wasm-heap.ts'
import { formatCodes } from './wasm-kernels.ts'
import type { Pointer } from './wasm-kernels.ts'
import type { WasmRuntime } from './wasm-runtime.ts'

/** A weight matrix in the wasm heap, in its stored format. */
export class WasmPackedWeight implements PackedWeight {
  readonly format: WeightFormat
  readonly formatCode: number
  readonly rows: number
  readonly cols: number
  readonly sizeInBytes: number
  /** Bytes between rows. */
  readonly stride: number
  readonly #runtime: WasmRuntime
  readonly #onDispose: (sizeInBytes: number) => void
  #pointer: Pointer | null

  constructor(
    runtime: WasmRuntime,
    spec: PackedWeightSpec,
    fill: FillWeight,
    onDispose: (sizeInBytes: number) => void,
  ) {
    this.format = spec.format
    this.formatCode = formatCodes[spec.format]
    this.rows = spec.rows
    this.cols = spec.cols
    this.stride = rowBytes(spec.format, spec.cols)
    assert(Number.isInteger(this.stride), `a ${spec.format} row of ${spec.cols} elements is not whole blocks`)
    this.sizeInBytes = spec.rows * this.stride
    this.#runtime = runtime
    this.#onDispose = onDispose
    this.#pointer = createFilled(runtime.heap, this, fill)
  }

  get pointer(): Pointer {
    assert(this.#pointer !== null, 'a packed weight was used after dispose')
    return this.#pointer
  }

  dispose(): void {
    if (this.#pointer === null) return
    this.#runtime.heap.free(this.#pointer)
    this.#pointer = null
    this.#onDispose(this.sizeInBytes)
  }

  readRow(row: number, out: Float32Array): void {
    assert(row >= 0 && row < this.rows, `weight row ${row} is outside [0, ${this.rows})`)
    assert(out.length >= this.cols, `a row of ${this.cols} does not fit ${out.length} floats`)
    const { heap, kernels } = this.#runtime
    const [scratch = 0] = heap.scratch(this.cols * Float32Array.BYTES_PER_ELEMENT)
    kernels.dequantizeRow(scratch, this.pointer + row * this.stride, this.cols, this.formatCode)
    out.set(heap.floats(scratch, this.cols))
  }
}

function createFilled(
  heap: WasmHeap,
  { format, rows, cols, sizeInBytes }: WasmPackedWeight,
  fill: FillWeight,
): Pointer {
  const pointer = heap.allocate(sizeInBytes, `a ${format} weight [${rows}, ${cols}]`)
  try {
    const bytes = heap.bytes(pointer, sizeInBytes)
    fill(bytes)
    // A detached view swallows writes without a word.
    assert(bytes.length === sizeInBytes, 'the wasm heap grew while a weight was filled: fill must not make tensors')
    return pointer
  } catch (error) {
    heap.free(pointer)
    throw error
  }
}
