import { numGroups, planesOf, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import type { PlaneReader, Region } from './grouped-tensors.ts'
import { elementBytesOf, elementsOf, eachChunk, transposed, withElements, type RawMatrix } from './raw-matrix.ts'

/*
 * AWQ's "gemm" (AutoAWQ `modules/linear/gemm.py`): `qweight` int32 [K, N / 8] and `qzeros` int32 [groups, N / 8], eight outputs
 * in a word, not in order; `scales` [groups, N].
 */

/** Which of a word's eight outputs nibble `i` is. */
const outputOfNibble = [0, 2, 4, 6, 1, 3, 5, 7] as const

/** Eight words of eight nibbles each: nibble `j` of word `i` becomes nibble `i` of word `j`. */
function transposeNibbles(words: Uint32Array): void {
  for (let shift = 16, step = 4, mask = 0xffff; step > 0; step >>= 1, shift >>= 1, mask ^= mask << shift) {
    for (let i = 0; i < 8; i = ((i | step) + 1) & ~step) {
      const low = words[i]!
      const high = words[i + step]!
      const swapped = ((low >>> shift) ^ high) & mask
      words[i + step] = high ^ swapped
      words[i] = low ^ (swapped << shift)
    }
  }
}

/** Of `qweight`: rows of codes. */
export function awqCodes(matrix: RawMatrix): PlaneReader {
  return {
    read({ rows, cols }, target) {
      const wordCols = { start: rows.start >>> 3, end: ceilDiv(rows.end, 8) }
      withElements(target.bytes, 4, (out) => {
        eachChunk(matrix, { rows: cols, cols: wordCols }, ({ bytes, from, count, rowStride, offset }) => {
          const stored = elementsOf(bytes, 4).subarray(offset / 4)
          const rowWords = rowStride / 4
          const outCol = (from - cols.start) >>> 3
          for (let col = wordCols.start; col < wordCols.end; col++) {
            const column = stored.subarray(col - wordCols.start)
            unpackColumn({ column, rowWords, count, first: 8 * col, rows, out, outCol, stride: target.stride / 4 })
          }
        })
      })
    },
  }
}

interface WordColumn {
  /** Words of eight outputs each, one every `rowWords`. */
  readonly column: Uint8Array | Uint16Array | Uint32Array
  readonly rowWords: number
  readonly count: number
  /** The first output of a word. */
  readonly first: number
  /** The outputs that are wanted. */
  readonly rows: Region['rows']
  readonly out: Uint8Array | Uint16Array | Uint32Array
  /** First word of each row. */
  readonly outCol: number
  readonly stride: number
}

function unpackColumn({ column, rowWords, count, first, rows, out, outCol, stride }: WordColumn): void {
  const words = new Uint32Array(8)
  const isWhole = first >= rows.start && first + 8 <= rows.end
  const base = (first - rows.start) * stride + outCol
  for (let k = 0; k < count; k += 8) {
    const numWords = Math.min(8, count - k)
    for (let i = 0; i < 8; i++) words[i] = i < numWords ? column[(k + i) * rowWords]! : 0
    transposeNibbles(words)
    const to = base + (k >>> 3)
    for (let i = 0; i < 8; i++) {
      const output = outputOfNibble[i]!
      if (isWhole || (first + output >= rows.start && first + output < rows.end)) out[to + output * stride] = words[i]!
    }
  }
}

/** Whether all zeros are in the middle, told from whole words. */
export function areAwqZerosMiddle(words: Uint32Array): boolean {
  return words.every((word) => word === 0x8888_8888)
}

/** `qzeros` → zeros `[rows, groups]`. */
export function decodeAwqZeros(
  words: Uint32Array,
  { rows, groups }: { readonly rows: number; readonly groups: number },
): Uint8Array {
  const plane = new Uint8Array(rows * groups)
  const wordsPerGroup = rows / 8
  for (let group = 0; group < groups; group++) {
    for (let col = 0; col < wordsPerGroup; col++) {
      const word = words[group * wordsPerGroup + col]!
      outputOfNibble.forEach((output, i) => (plane[(8 * col + output) * groups + group] = (word >>> (4 * i)) & 15))
    }
  }
  return plane
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function awqMismatch({ format, rows, cols }: GroupedSpec): string | null {
  const { bits, codebook, groupSize, scaleDtype, hasOrder } = format
  if (codebook !== 'integers' || bits !== 4) return 'AWQ holds integers of 4 bits'
  if (hasOrder) return 'AWQ has its columns in groups as they stand'
  if (scaleDtype !== 'float16') return `AWQ's scales are float16, not ${scaleDtype}`
  if (rows % 8 !== 0) return `AWQ packs 8 outputs in a word, and ${rows} do not fill them`
  if (groupSize !== 'channel' && cols % groupSize !== 0)
    return `AWQ has whole groups, and ${cols} are no multiple of ${groupSize}`
  return null
}

/** Of a weight without `awqMismatch`. */
export function encodeAwq(weight: GroupedWeight): EncodedTensor[] {
  const { format, rows, cols, planes: bytes } = weight
  const { bits, scaleDtype, hasOrder } = format
  assert(bits === 4 && !hasOrder && rows % 8 === 0, `[${rows}, ${cols}] of ${bits} bits as AWQ has them`)
  const { codes, scales, zeros } = planesOf(weight)
  const groups = numGroups(format, cols)
  const wordCols = rows / 8
  const qweight = new Uint32Array(cols * wordCols)
  const stored = elementsOf(bytes.slice(0, codes.sizeInBytes), 4)
  const words = new Uint32Array(8)
  for (let col = 0; col < wordCols; col++) {
    for (let k = 0; k < cols; k += 8) {
      outputOfNibble.forEach((output, i) => (words[i] = stored[(8 * col + output) * (codes.stride / 4) + k / 8]!))
      transposeNibbles(words)
      for (let i = 0; i < Math.min(8, cols - k); i++) qweight[(k + i) * wordCols + col] = words[i]!
    }
  }
  const qzeros = new Uint32Array(groups * wordCols)
  for (let group = 0; group < groups; group++) {
    for (let col = 0; col < wordCols; col++) {
      outputOfNibble.forEach((output, i) => {
        const zero = zeros === null ? 8 : bytes[zeros.offset + (8 * col + output) * zeros.stride + group]!
        qzeros[group * wordCols + col]! |= zero << (4 * i)
      })
    }
  }
  const scaleBytes = bytes.slice(scales.offset, scales.offset + scales.sizeInBytes)
  return [
    { suffix: 'qweight', dtype: 'int32', shape: [cols, wordCols], bytes: new Uint8Array(qweight.buffer) },
    { suffix: 'qzeros', dtype: 'int32', shape: [groups, wordCols], bytes: new Uint8Array(qzeros.buffer) },
    {
      suffix: 'scales',
      dtype: scaleDtype,
      shape: [groups, rows],
      bytes: transposed(scaleBytes, { rows, cols: groups, elementBytes: elementBytesOf(scaleDtype) }),
    },
  ]
}
