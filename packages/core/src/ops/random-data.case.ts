import { tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { BackendPack } from '../backends/backend-pack.ts'
import { encodeRow, float32ToFloat16 } from '../tensor/dequantize.ts'
import { isDense, rowBytes, weightFormats } from '../tensor/dtype.ts'
import type { WeightFormat } from '../tensor/dtype.ts'
import type { PackedWeight } from '../tensor/packed-weight.ts'
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
    format: WeightFormat,
    [rows, cols]: readonly [number, number],
  ): PackedWeight {
    return pack.packWeight({ format, rows, cols }, (bytes) => {
      const stride = rowBytes(format, cols)
      for (let row = 0; row < rows; row++) {
        if (isDense(format)) encodeRow(format, this.floats(cols), bytes, row * stride)
        else this.#fillBlocks(format, bytes.subarray(row * stride, (row + 1) * stride))
      }
    })
  }

  /** Any codes will do, but the float16 scales must be finite and of sensible size. */
  #fillBlocks(format: keyof typeof scaleOffsets, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.integer(0, 255)
    for (let block = 0; block < bytes.length; block += weightFormats[format].blockBytes) {
      for (const offset of scaleOffsets[format]) {
        const bits = float32ToFloat16((0.5 + this.uniform()) * 0.001)
        bytes[block + offset] = bits & 255
        bytes[block + offset + 1] = bits >>> 8
      }
    }
  }
}

/** Where a block keeps its float16 scales. */
const scaleOffsets = {
  q8_0: [0],
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
} as const
