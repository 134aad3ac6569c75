import { numGroups, planesOf, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import { readCodes, writeCodes } from './bit-stream.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import type { PlaneReader } from './grouped-tensors.ts'
import { eachChunk, elementsOf, withElements, type RawMatrix } from './raw-matrix.ts'

/*
 * compressed-tensors' "pack-quantized" (`compressors/pack_quantized`): `weight_packed` int32 [N, ceil(K * bits / 32)], a stream
 * of bits in each row as the plane of codes has it; `weight_scale` [N, groups]; `weight_zero_point` int32
 * [ceil(N * bits / 32), groups], a stream down each column; `weight_g_idx` int32 [K]; `weight_shape` int64 [2].
 */

/** Words of `count` codes: one stream across words, or, until the end of 2025, whole codes in each word and padding. */
export function streamWords(count: number, bits: number, isPadded: boolean): number {
  return isPadded ? ceilDiv(count, Math.floor(32 / bits)) : ceilDiv(count * bits, 32)
}

/** The plane of codes, of rows with padding in each word. */
export function paddedCodes(matrix: RawMatrix, bits: number): PlaneReader {
  const perWord = Math.floor(32 / bits)
  const mask = 2 ** bits - 1
  return {
    read({ rows, cols }, { bytes, stride }) {
      const count = cols.end - cols.start
      const numWords = ceilDiv(count * bits, 32)
      withElements(bytes, 4, (out) => {
        const words = Uint32Array.from({ length: numWords }, () => 0)
        eachChunk(matrix, { rows, cols: { start: 0, end: matrix.cols } }, (chunk) => {
          const stored = elementsOf(chunk.bytes, 4)
          for (let i = 0; i < chunk.count; i++) {
            const first = (i * chunk.rowStride) / 4
            words.fill(0)
            writeCodes({ words, start: 0, step: 1, bits }, count, (c) => {
              const at = cols.start + c
              return (stored[first + Math.floor(at / perWord)]! >>> ((at % perWord) * bits)) & mask
            })
            out.set(words, ((chunk.from + i - rows.start) * stride) / 4)
          }
        })
      })
    },
  }
}

export interface PackedZeros {
  readonly bits: number
  readonly rows: number
  readonly groups: number
  readonly isPadded: boolean
}

/** `weight_zero_point` → zeros `[rows, groups]`. */
export function decodePackedZeros(words: Uint32Array, { bits, rows, groups, isPadded }: PackedZeros): Uint8Array {
  const plane = new Uint8Array(rows * groups)
  const perWord = Math.floor(32 / bits)
  const mask = 2 ** bits - 1
  for (let group = 0; group < groups; group++) {
    if (isPadded)
      for (let row = 0; row < rows; row++)
        plane[row * groups + group] =
          (words[Math.floor(row / perWord) * groups + group]! >>> ((row % perWord) * bits)) & mask
    else
      readCodes({ words, start: group, step: groups, bits }, rows, (code, row) => (plane[row * groups + group] = code))
  }
  return plane
}

/** Whether all zeros are in the middle, told from whole words. */
export function arePackedZerosMiddle(words: Uint32Array, { bits, rows, groups, isPadded }: PackedZeros): boolean {
  const perWord = Math.floor(32 / bits)
  const stream = (count: number): Uint32Array => {
    const column = new Uint32Array(ceilDiv(count * bits, 32))
    writeCodes({ words: column, start: 0, step: 1, bits }, count, () => 2 ** (bits - 1))
    return column
  }
  const used = (count: number): number => ((count * bits) % 32 === 0 ? ~0 : 2 ** ((count * bits) % 32) - 1)
  const expected = isPadded ? stream(perWord) : stream(rows)
  const numWords = streamWords(rows, bits, isPadded)
  return words.every((word, i) => {
    const at = Math.floor(i / groups)
    const last = at === numWords - 1
    const mask = isPadded ? used(last ? rows - at * perWord : perWord) : last ? used(rows) : ~0
    return ((word ^ expected[isPadded ? 0 : at]!) & mask) === 0
  })
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function packQuantizedMismatch({ format }: GroupedSpec): string | null {
  return format.codebook === 'integers' ? null : 'pack-quantized holds integers'
}

/** Of a weight without `packQuantizedMismatch`. */
export function encodePackQuantized(weight: GroupedWeight): EncodedTensor[] {
  const { format, rows, cols, planes: bytes } = weight
  const { bits, scaleDtype, codebook } = format
  assert(codebook === 'integers', 'pack-quantized holds integers')
  const { codes, order, scales, zeros } = planesOf(weight)
  const groups = numGroups(format, cols)
  const tensors: EncodedTensor[] = [
    {
      suffix: 'weight_packed',
      dtype: 'int32',
      shape: [rows, codes.stride / 4],
      bytes: bytes.slice(codes.offset, codes.offset + codes.sizeInBytes),
    },
    {
      suffix: 'weight_scale',
      dtype: scaleDtype,
      shape: [rows, groups],
      bytes: bytes.slice(scales.offset, scales.offset + scales.sizeInBytes),
    },
    {
      suffix: 'weight_shape',
      dtype: 'int64',
      shape: [2],
      bytes: new Uint8Array(BigInt64Array.of(BigInt(rows), BigInt(cols)).buffer),
    },
  ]
  if (zeros !== null) {
    const words = new Uint32Array(streamWords(rows, bits, false) * groups)
    for (let group = 0; group < groups; group++)
      writeCodes(
        { words, start: group, step: groups, bits },
        rows,
        (row) => bytes[zeros.offset + row * zeros.stride + group]!,
      )
    tensors.push({
      suffix: 'weight_zero_point',
      dtype: 'int32',
      shape: [words.length / groups, groups],
      bytes: new Uint8Array(words.buffer),
    })
  }
  if (order !== null)
    tensors.push({
      suffix: 'weight_g_idx',
      dtype: 'int32',
      shape: [cols],
      bytes: bytes.slice(order.offset, order.offset + order.sizeInBytes),
    })
  return tensors
}
