import { tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { float32ToFloat16 } from '../tensor/narrow-floats.ts'
import { isDense, rowBytes, weightFormats } from '../tensor/dtype.ts'
import type { BlockFormat } from '../tensor/dtype.ts'
import { codeValues, numGroups, planesOf } from '../tensor/grouped-format.ts'
import type { GroupedSpec } from '../tensor/grouped-format.ts'
import { isGrouped } from '../tensor/packed-weight.ts'
import type { PackedFormat, PackedWeight } from '../tensor/packed-weight.ts'
import { uniformAt } from '../util/random.ts'

/** A stream of reproducible random data. */
export class RandomData {
  readonly #seed: number
  #counter = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  uniform(): number {
    return uniformAt(this.#seed, this.#counter++)
  }

  /** An integer in [min, max]. */
  integer(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1))
  }

  /** Values in (-scale, scale). */
  floats(length: number, scale = 1): Float32Array {
    return Float32Array.from({ length }, () => (2 * this.uniform() - 1) * scale)
  }

  matrix(rows: number, columns: number, scale = 1): Tensor2D {
    return tensor2d(this.floats(rows * columns, scale), [rows, columns])
  }

  vector(length: number, scale = 1): Tensor1D {
    return tensor1d(this.floats(length, scale))
  }

  /** `0 … length - 1` in random order. */
  permutation(length: number): number[] {
    return Array.from({ length }, (_, i) => [this.uniform(), i] as const)
      .sort(([a], [b]) => a - b)
      .map(([, i]) => i)
  }

  /** Parts of random size that add up to `total`. */
  partition(total: number, maxPart: number): number[] {
    const parts: number[] = []
    for (let left = total; left > 0; left -= parts.at(-1)!) parts.push(Math.min(left, this.integer(1, maxPart)))
    return parts
  }

  weight(
    pack: Pick<BackendPack, 'packWeight'>,
    format: PackedFormat,
    [rows, cols]: readonly [number, number],
  ): PackedWeight {
    return pack.packWeight({ format, rows, cols }, (bytes) => {
      if (isGrouped(format)) return this.#fillPlanes({ format, rows, cols }, bytes)
      const stride = rowBytes(format, cols)
      for (let row = 0; row < rows; row++) {
        if (isDense(format)) encodeRow(format, this.floats(cols), bytes, row * stride)
        else this.#fillBlocks(format, bytes.subarray(row * stride, (row + 1) * stride))
      }
    })
  }

  /** Any codes but NaN's, zeros among the codes, and weights of about 0.1. */
  #fillPlanes(spec: GroupedSpec, bytes: Uint8Array): void {
    const { format, rows, cols } = spec
    const { codes, order, scales, zeros } = planesOf(spec)
    const values = codeValues(format)
    const groups = numGroups(format, cols)
    const largest = Math.max(...values.filter((value) => !Number.isNaN(value)).map(Math.abs))
    for (let row = 0; row < rows; row++) {
      const codesOfRow = bytes.subarray(codes.offset + row * codes.stride, codes.offset + (row + 1) * codes.stride)
      codesOfRow.fill(0)
      for (let col = 0; col < cols; col++) {
        let code = this.integer(0, values.length - 1)
        if (Number.isNaN(values[code]!)) code = 0
        putCode(codesOfRow, col * format.bits, code)
      }
      const scalesOfRow = Float32Array.from({ length: groups }, () => ((0.5 + this.uniform()) * 0.1) / largest)
      encodeRow(format.scaleDtype, scalesOfRow, bytes, scales.offset + row * scales.stride)
    }
    if (zeros !== null)
      for (let i = 0; i < rows * groups; i++) bytes[zeros.offset + i] = this.integer(0, values.length - 1)
    if (order !== null) {
      // Whole groups in any order, or, as where ranks divide the columns, some columns of each.
      const isWhole = this.uniform() < 0.5
      const size = format.groupSize === 'channel' ? cols : format.groupSize
      const groupOf = isWhole
        ? Int32Array.from(this.permutation(cols), (col) => Math.floor(col / size))
        : Int32Array.from({ length: cols }, () => this.integer(0, groups - 1))
      bytes.set(new Uint8Array(groupOf.buffer), order.offset)
    }
  }

  /** Any codes will do, but the float16 scales must be finite and of sensible size. */
  #fillBlocks(format: BlockFormat, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.integer(0, 255)
    const { blockBytes, fields } = weightFormats[format]
    for (let block = 0; block < bytes.length; block += blockBytes) {
      for (const { offset } of fields.filter(({ dtype }) => dtype === 'float16')) {
        const bits = float32ToFloat16((0.5 + this.uniform()) * 0.001)
        bytes[block + offset] = bits & 255
        bytes[block + offset + 1] = bits >>> 8
      }
    }
  }
}

/** Lowest bits first, into bits that are zero. */
function putCode(bytes: Uint8Array, bit: number, code: number): void {
  const at = bit >>> 3
  const shifted = code << (bit & 7)
  bytes[at] = bytes[at]! | (shifted & 255)
  if (shifted > 255) bytes[at + 1] = bytes[at + 1]! | (shifted >>> 8)
}
