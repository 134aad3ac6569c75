import { dequantizeRow } from '../../tensor/dequantize.ts'
import { rowBytes } from '../../tensor/dtype.ts'
import type { WeightFormat } from '../../tensor/dtype.ts'
import { createGroupedReader, type ReadRow } from '../../tensor/grouped-format.ts'
import { float16Table } from '../../tensor/narrow-floats.ts'
import { isGrouped, weightBytes } from '../../tensor/packed-weight.ts'
import type { FillWeight, PackedFormat, PackedWeight, PackedWeightSpec } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'

/** A weight matrix in one `Uint8Array` of this process, in its stored format. */
export class CpuPackedWeight implements PackedWeight {
  readonly format: PackedFormat
  readonly rows: number
  readonly cols: number
  readonly sizeInBytes: number
  readonly #onDispose: (sizeInBytes: number) => void
  #bytes: Uint8Array<ArrayBuffer> | null
  #readRow: ReadRow

  constructor(spec: PackedWeightSpec, fill: FillWeight, onDispose: (sizeInBytes: number) => void) {
    const { format, rows, cols } = spec
    this.format = format
    this.rows = rows
    this.cols = cols
    this.sizeInBytes = weightBytes(spec)
    this.#onDispose = onDispose
    // A fresh buffer starts at offset 0, so that the float views below are aligned.
    const bytes = new Uint8Array(this.sizeInBytes)
    this.#bytes = bytes
    fill(bytes)
    this.#readRow = isGrouped(format)
      ? createGroupedReader({ format, rows, cols }, bytes)
      : rowReader(format, cols, bytes)
  }

  dispose(): void {
    if (this.#bytes === null) return
    this.#bytes = null
    this.#readRow = readDisposed
    this.#onDispose(this.sizeInBytes)
  }

  readRow(row: number, out: Float32Array): void {
    assert(row >= 0 && row < this.rows, `weight row ${row} is outside [0, ${this.rows})`)
    this.#readRow(row, out)
  }

  /** The whole matrix `[rows, cols]` in place, or `null` where it is not stored as float32. */
  asFloat32(): Float32Array | null {
    const bytes = this.#bytes
    assert(bytes !== null, 'a packed weight was used after dispose')
    return this.format === 'float32' ? new Float32Array(bytes.buffer) : null
  }
}

function readDisposed(): void {
  assert(false, 'a packed weight was used after dispose')
}

/** 16-bit rows give the same values as with `dequantizeRow`, several times faster, because here they are known to be aligned. */
function rowReader(format: WeightFormat, cols: number, bytes: Uint8Array<ArrayBuffer>): ReadRow {
  if (format === 'bfloat16') {
    const halves = new Uint16Array(bytes.buffer)
    return (row, out) => widenBfloat16(halves, row * cols, out, cols)
  }
  if (format === 'float16') {
    const halves = new Uint16Array(bytes.buffer)
    return (row, out) => widenFloat16(halves, row * cols, out, cols)
  }
  const stride = rowBytes(format, cols)
  return (row, out) => dequantizeRow(format, bytes, row * stride, out, cols)
}

function widenBfloat16(halves: Uint16Array, offset: number, out: Float32Array, cols: number): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, cols)
  for (let i = 0; i < cols; i++) bits[i] = halves[offset + i]! << 16
}

function widenFloat16(halves: Uint16Array, offset: number, out: Float32Array, cols: number): void {
  const table = float16Table()
  for (let i = 0; i < cols; i++) out[i] = table[halves[offset + i]!]!
}
