import { QuantizationError } from '../errors.ts'
import { widenRow } from '../tensor/dequantize.ts'
import { weightFormats } from '../tensor/dtype.ts'
import { numGroups, planesOf, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import type { EncodedTensor } from './encoded-tensor.ts'

/*
 * Eight-bit floats: `weight` float8_e4m3 [N, K], and scales of the tensor [1], rows [N, 1] or blocks. compressed-tensors, AutoFP8
 * and ModelOpt call them `weight_scale`; DeepSeek and transformers `weight_scale_inv`, in float32, and multiply with them too.
 */

export interface Float8Layout {
  readonly scaleName: 'weight_scale' | 'weight_scale_inv'
  /** Rows that share a scale: 1, the height of a block, or all. */
  readonly sharedRows: number | 'all'
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function float8Mismatch({ format }: GroupedSpec, { sharedRows }: Float8Layout): string | null {
  const { codebook, groupSize, hasOrder } = format
  if (codebook !== 'e4m3') return 'FP8 holds e4m3 codes'
  if (hasOrder) return 'FP8 has its columns in groups as they stand'
  return sharedRows === 'all' && groupSize !== 'channel' ? 'a scale of the whole tensor leaves no groups' : null
}

/**
 * Of a weight without `float8Mismatch`.
 * @throws QuantizationError where rows that should share their scales do not
 */
export function encodeFloat8(weight: GroupedWeight, { scaleName, sharedRows }: Float8Layout): EncodedTensor[] {
  const { format, rows, cols } = weight
  const height = sharedRows === 'all' ? rows : sharedRows
  const groups = numGroups(format, cols)
  const scales = sharedScales(weight, height)
  const isWidened = scaleName === 'weight_scale_inv'
  return [
    { suffix: 'weight', dtype: 'float8_e4m3', shape: [rows, cols], bytes: codeRows(weight, cols) },
    {
      suffix: scaleName,
      dtype: isWidened ? 'float32' : format.scaleDtype,
      shape: sharedRows === 'all' ? (isWidened ? [] : [1]) : [ceilDiv(rows, height), groups],
      bytes: isWidened ? new Uint8Array(widened(format.scaleDtype, scales).buffer) : scales,
    },
  ]
}

/** Rows of codes without what pads them to whole words. */
export function codeRows(weight: GroupedWeight, rowBytes: number): Uint8Array {
  const { codes } = planesOf(weight)
  const bytes = new Uint8Array(weight.rows * rowBytes)
  for (let row = 0; row < weight.rows; row++) {
    const start = codes.offset + row * codes.stride
    bytes.set(weight.planes.subarray(start, start + rowBytes), row * rowBytes)
  }
  return bytes
}

/** The scales of each `height` rows, once. */
function sharedScales(weight: GroupedWeight, height: number): Uint8Array {
  const { rows, planes } = weight
  const { scales } = planesOf(weight)
  const rowOf = (row: number): Uint8Array =>
    planes.subarray(scales.offset + row * scales.stride, scales.offset + (row + 1) * scales.stride)
  const shared = new Uint8Array(ceilDiv(rows, height) * scales.stride)
  for (let row = 0; row < rows; row++) {
    const first = row - (row % height)
    if (row === first) shared.set(rowOf(row), (row / height) * scales.stride)
    else if (!isSame(rowOf(row), rowOf(first)))
      throw new QuantizationError(
        `rows ${first} and ${row} have different scales, and the layout has one for ${height} rows; quantize it with one, or choose another layout`,
      )
  }
  return shared
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i])
}

function widened(dtype: GroupedWeight['format']['scaleDtype'], scales: Uint8Array): Float32Array {
  const values = new Float32Array(scales.length / weightFormats[dtype].blockBytes)
  widenRow(dtype, scales, values, values.length)
  return values
}

/** All scales of a weight `[rows * groups]`. */
export function scaleValues(weight: GroupedWeight): Float32Array {
  const { format, planes } = weight
  assert(!format.hasOrder, 'columns in groups as they stand')
  const { scales } = planesOf(weight)
  return widened(format.scaleDtype, planes.subarray(scales.offset, scales.offset + scales.sizeInBytes))
}
