import { numGroups, planesOf, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import type { PlaneReader } from './grouped-tensors.ts'
import { rowsPlane, withElements, type RawMatrix } from './raw-matrix.ts'

/*
 * compressed-tensors' "int-quantized" and "naive-quantized": `weight` int8 [N, K]; `weight_scale` of a tensor, rows, groups or
 * blocks; `weight_zero_point` int8 likewise. A plane's codes are unsigned: 128 more.
 */

/** Signed bytes → codes. */
export function signedCodes(matrix: RawMatrix): PlaneReader {
  const plane = rowsPlane(matrix)
  return {
    read(region, target) {
      plane.read(region, target)
      const { bytes, stride } = target
      const numRows = region.rows.end - region.rows.start
      const width = region.cols.end - region.cols.start
      if (width === stride) flipSigns(bytes.subarray(0, numRows * stride))
      else for (let row = 0; row < numRows; row++) flipSigns(bytes.subarray(row * stride, row * stride + width))
    },
  }
}

function flipSigns(bytes: Uint8Array): void {
  const numWords = bytes.length >>> 2
  withElements(bytes.subarray(0, 4 * numWords), 4, (words) => {
    for (let i = 0; i < words.length; i++) words[i] = words[i]! ^ 0x8080_8080
  })
  for (let i = 4 * numWords; i < bytes.length; i++) bytes[i] = bytes[i]! ^ 0x80
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function intQuantizedMismatch({ format }: GroupedSpec): string | null {
  const { bits, codebook, hasOrder } = format
  if (codebook !== 'integers' || bits !== 8) return 'int-quantized holds integers of 8 bits'
  return hasOrder ? 'int-quantized has its columns in groups as they stand' : null
}

/** Of a weight without `intQuantizedMismatch`: scales of rows or groups. */
export function encodeIntQuantized(weight: GroupedWeight): EncodedTensor[] {
  const { format, rows, cols, planes: bytes } = weight
  const { bits, codebook, scaleDtype, hasOrder } = format
  assert(bits === 8 && codebook === 'integers' && !hasOrder, 'int-quantized holds 8-bit integers without an order')
  const { codes, scales, zeros } = planesOf(weight)
  const groups = numGroups(format, cols)
  const values = new Uint8Array(rows * cols)
  for (let row = 0; row < rows; row++)
    values.set(bytes.subarray(row * codes.stride, row * codes.stride + cols), row * cols)
  flipSigns(values)
  const tensors: EncodedTensor[] = [
    { suffix: 'weight', dtype: 'int8', shape: [rows, cols], bytes: values },
    {
      suffix: 'weight_scale',
      dtype: scaleDtype,
      shape: [rows, groups],
      bytes: bytes.slice(scales.offset, scales.offset + scales.sizeInBytes),
    },
  ]
  if (zeros !== null) {
    const points = bytes.slice(zeros.offset, zeros.offset + zeros.sizeInBytes)
    flipSigns(points)
    tensors.push({ suffix: 'weight_zero_point', dtype: 'int8', shape: [rows, groups], bytes: points })
  }
  return tensors
}
