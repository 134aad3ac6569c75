import { allWeightFormats, rowBytes } from '../../tensor/dtype.ts'
import { codeValues, columnGroups, numGroups, planesOf, type GroupedSpec } from '../../tensor/grouped-format.ts'
import { describeFormat, isGrouped, weightBytes } from '../../tensor/packed-weight.ts'
import type { FillWeight, PackedFormat, PackedWeight, PackedWeightSpec } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'
import { alignUp } from '../../util/math.ts'
import type { WasmHeap } from './wasm-heap.ts'
import type { Pointer } from './wasm-kernels.ts'
import type { WasmRuntime } from './wasm-runtime.ts'

/** A weight matrix in the wasm heap, in its stored format, and behind it a description for the kernels. */
export class WasmPackedWeight implements PackedWeight {
  readonly format: PackedFormat
  readonly rows: number
  readonly cols: number
  readonly sizeInBytes: number
  readonly #runtime: WasmRuntime
  readonly #onDispose: (sizeInBytes: number) => void
  #bytes: Pointer | null

  constructor(
    runtime: WasmRuntime,
    spec: PackedWeightSpec,
    fill: FillWeight,
    onDispose: (sizeInBytes: number) => void,
  ) {
    this.format = spec.format
    this.rows = spec.rows
    this.cols = spec.cols
    this.sizeInBytes = weightBytes(spec)
    this.#runtime = runtime
    this.#onDispose = onDispose
    this.#bytes = createFilled(runtime.heap, this, fill)
  }

  /** Its description (`Weight` in kernels/weight.ts). */
  get pointer(): Pointer {
    assert(this.#bytes !== null, 'a packed weight was used after dispose')
    return this.#bytes + alignUp(this.sizeInBytes, 4)
  }

  dispose(): void {
    if (this.#bytes === null) return
    this.#runtime.heap.free(this.#bytes)
    this.#bytes = null
    this.#onDispose(this.sizeInBytes)
  }

  readRow(row: number, out: Float32Array): void {
    assert(row >= 0 && row < this.rows, `weight row ${row} is outside [0, ${this.rows})`)
    assert(out.length >= this.cols, `a row of ${this.cols} does not fit ${out.length} floats`)
    const { heap, kernels } = this.#runtime
    const [scratch = 0] = heap.scratch(this.cols * Float32Array.BYTES_PER_ELEMENT)
    kernels.dequantizeRow(scratch, this.pointer, row)
    out.set(heap.floats(scratch, this.cols))
  }
}

function createFilled(heap: WasmHeap, weight: WasmPackedWeight, fill: FillWeight): Pointer {
  const { format, rows, cols, sizeInBytes } = weight
  const start = alignUp(sizeInBytes, 4)
  const size = start + descriptionBytes(weight)
  const pointer = heap.allocate(size, `a ${describeFormat(format)} weight [${rows}, ${cols}]`)
  try {
    const bytes = heap.bytes(pointer, sizeInBytes)
    fill(bytes)
    // A detached view swallows writes without a word.
    assert(bytes.length === sizeInBytes, 'the wasm heap grew while a weight was filled: fill must not make tensors')
    const words = isGrouped(format)
      ? describeGroupedWeight({ format, rows, cols }, bytes, pointer)
      : [allWeightFormats.indexOf(format), cols, pointer, rowBytes(format, cols)]
    heap.ints(pointer + start, words.length).set(words)
    return pointer
  } catch (error) {
    heap.free(pointer)
    throw error
  }
}

/** Of `Weight` in kernels/weight.ts. */
const numWords = 14

function descriptionBytes({ format, cols }: PackedWeightSpec): number {
  const tables = isGrouped(format) ? 2 ** format.bits + cols + numGroups(format, cols) : 0
  return 4 * (numWords + tables)
}

/** `Weight.groupCols`. */
function vectorGroupCols({ format, cols }: GroupedSpec): number {
  const { bits, codebook, groupSize, hasZeros, hasOrder } = format
  const isInteger = codebook === 'integers' && (bits === 4 || (bits === 8 && !hasZeros))
  const groupCols = groupSize === 'channel' ? cols : groupSize
  return isInteger && !hasOrder && cols % 32 === 0 && groupCols % 32 === 0 ? groupCols : 0
}

/** The words of `Weight`, then its tables: values of codes, groups of columns, and room for the scales of one row. */
function describeGroupedWeight(spec: GroupedSpec, bytes: Uint8Array, pointer: Pointer): Int32Array {
  const { format, cols } = spec
  const { codes, scales, zeros } = planesOf(spec)
  const values = codeValues(format)
  const groups = numGroups(format, cols)
  const valuesAt = pointer + alignUp(bytes.length, 4) + 4 * numWords
  const groupsAt = valuesAt + values.byteLength
  const head = [
    allWeightFormats.length,
    cols,
    pointer + codes.offset,
    codes.stride,
    format.bits,
    vectorGroupCols(spec),
    groups,
    valuesAt,
    groupsAt,
    allWeightFormats.indexOf(format.scaleDtype),
    pointer + scales.offset,
    scales.stride,
    zeros === null ? 0 : pointer + zeros.offset,
    groupsAt + 4 * cols,
  ]
  assert(head.length === numWords, `a description of ${head.length} words`)
  const words = new Int32Array(numWords + values.length + cols)
  words.set(head)
  words.set(new Int32Array(values.buffer), numWords)
  words.set(columnGroups(spec, bytes), numWords + values.length)
  return words
}
