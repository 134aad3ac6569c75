import { encodeRow, isDense, rowBytes, weightFormats, type BlockFormat, type WeightFormat } from '@octavo/core/loading'
import {
  quantizeQ40,
  quantizeQ41,
  quantizeQ50,
  quantizeQ51,
  quantizeQ80,
  type QuantizeBlock,
} from './quantize-legacy-blocks.ts'
import { quantizeQ4K, quantizeQ5K, quantizeQ6K } from './quantize-k-blocks.ts'

const quantizers: Readonly<Record<BlockFormat, QuantizeBlock>> = {
  q8_0: quantizeQ80,
  q4_0: quantizeQ40,
  q4_1: quantizeQ41,
  q5_0: quantizeQ50,
  q5_1: quantizeQ51,
  q4_k: quantizeQ4K,
  q5_k: quantizeQ5K,
  q6_k: quantizeQ6K,
}

export interface QuantizeRowsOptions {
  readonly format: WeightFormat
  /** A multiple of the format's block. */
  readonly cols: number
  /** `[cols]`: how much an error in each column counts, such as the mean square of its inputs. Left out, all alike. */
  readonly importance?: Float32Array | null
}

/** `values` `[rows, cols]` → stored rows, one behind the other. Values must be finite. */
export function quantizeRows(
  values: Float32Array,
  { format, cols, importance }: QuantizeRowsOptions,
): Uint8Array<ArrayBuffer> {
  const rows = values.length / cols
  const stride = rowBytes(format, cols)
  const out = new Uint8Array(rows * stride)
  if (isDense(format)) {
    for (let row = 0; row < rows; row++)
      encodeRow(format, values.subarray(row * cols, (row + 1) * cols), out, row * stride)
    return out
  }
  const quantizeBlock = quantizers[format]
  const { blockElements, blockBytes } = weightFormats[format]
  const source = { values: new Float32Array(blockElements), weights: new Float32Array(blockElements).fill(1) }
  for (let row = 0, at = 0; row < rows; row++) {
    for (let col = 0; col < cols; col += blockElements, at += blockBytes) {
      const start = row * cols + col
      source.values.set(values.subarray(start, start + blockElements))
      if (importance) fillWeights(source.weights, importance, col)
      quantizeBlock(source, out, at)
    }
  }
  return out
}

/** Where no column of a block counts, all count alike: the block must still be near its values. */
function fillWeights(weights: Float32Array, importance: Float32Array, start: number): void {
  weights.set(importance.subarray(start, start + weights.length))
  if (weights.every((weight) => weight === 0)) weights.fill(1)
}
