import { numGroups, planesOf, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import { readCodes, writeCodes } from './bit-stream.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { elementBytesOf, transposed } from './raw-matrix.ts'

/*
 * GPTQ (AutoGPTQ, GPTQModel `qlinear/__init__.py`): `qweight` int32 [K * bits / 32, N], a stream of bits down each column;
 * `qzeros` int32 [groups, N * bits / 32], a stream along each row; `scales` [groups, N]; `g_idx` int32 [K].
 */

/** What version 1 takes from zeros before they are stored. */
export type GptqVersion = 'gptq' | 'gptq_v2'

export const gptqBits = [2, 3, 4, 8] as const

/** One in each code of a word; of 3 bits, in three words that follow one another. */
const ones: Readonly<Record<number, readonly number[]>> = {
  2: [0x5555_5555],
  3: [0x4924_9249, 0x9249_2492, 0x2492_4924],
  4: [0x1111_1111],
  8: [0x0101_0101],
}

/** GPTQModel subtracts the words for 3 bits in another order, so that what it writes must be added up likewise. */
const gptqModelOnes: typeof ones = { ...ones, 3: [0x2492_4924, 0x9249_2492, 0x4924_9249] }

export interface GptqZeros {
  readonly bits: number
  readonly rows: number
  readonly groups: number
  readonly version: GptqVersion
  readonly isGptqModel: boolean
}

/**
 * `qzeros` → zeros `[rows, groups]`. Version 1 stores each less one, and its writers subtract that from whole words, which borrows
 * from the neighbour where a zero is 0: so it is added to whole words too, before they are taken apart.
 */
export function decodeGptqZeros(stored: Uint32Array, zeros: GptqZeros): Uint8Array {
  const { bits, rows, groups } = zeros
  const wordsPerGroup = ceilDiv(rows * bits, 32)
  const words = shiftZeros(stored, { ...zeros, sign: 1 })
  const plane = new Uint8Array(rows * groups)
  for (let group = 0; group < groups; group++) {
    const stream = { words, start: group * wordsPerGroup, step: 1, bits }
    readCodes(stream, rows, (code, row) => (plane[row * groups + group] = code))
  }
  return plane
}

/** Whether they are all in the middle: told from whole words, which is many times as fast as to take them apart. */
export function areGptqZerosMiddle(stored: Uint32Array, zeros: Omit<GptqZeros, 'groups'>): boolean {
  const { bits, rows } = zeros
  const middle = new Uint32Array(ceilDiv(rows * bits, 32))
  writeCodes({ words: middle, start: 0, step: 1, bits }, rows, () => 2 ** (bits - 1))
  const rest = (rows * bits) % 32
  const lastMask = rest === 0 ? ~0 : 2 ** rest - 1 // behind the last zero a word means nothing
  const expected = shiftZeros(middle, { ...zeros, sign: -1 })
  return stored.every((word, i) => {
    const at = i % middle.length
    return ((word ^ expected[at]!) & (at === middle.length - 1 ? lastMask : ~0)) === 0
  })
}

function shiftZeros(
  words: Uint32Array,
  { bits, rows, version, isGptqModel, sign }: Omit<GptqZeros, 'groups'> & { readonly sign: 1 | -1 },
): Uint32Array {
  if (version === 'gptq_v2') return words
  const wordsPerGroup = ceilDiv(rows * bits, 32)
  const added = (isGptqModel ? gptqModelOnes : ones)[bits]
  assert(added !== undefined, `zeros of ${bits} bits`)
  return words.map((word, i) => word + sign * added[(i % wordsPerGroup) % added.length]!)
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function gptqMismatch({ format, rows, cols }: GroupedSpec): string | null {
  const { bits, codebook, scaleDtype } = format
  if (codebook !== 'integers') return 'GPTQ holds integers'
  if (!gptqBits.some((known) => known === bits)) return `GPTQ holds codes of ${gptqBits.join(', ')} bits, not ${bits}`
  if (scaleDtype !== 'float16') return `GPTQ's scales are float16, not ${scaleDtype}`
  if ((cols * bits) % 32 !== 0 || (rows * bits) % 32 !== 0)
    return `GPTQ packs inputs and outputs in whole words of 32 bits, and ${cols} and ${rows} of ${bits} bits do not fill them`
  return null
}

/** Of a weight without `gptqMismatch`. */
export function encodeGptq(weight: GroupedWeight, version: GptqVersion): EncodedTensor[] {
  const { format, rows, cols, planes: bytes } = weight
  const { bits, groupSize, scaleDtype } = format
  const groups = numGroups(format, cols)
  const planes = planesOf(weight)
  const numWords = (cols * bits) / 32
  const wordsPerGroup = (rows * bits) / 32
  assert(
    Number.isInteger(numWords) && Number.isInteger(wordsPerGroup),
    `[${rows}, ${cols}] of ${bits} bits in whole words`,
  )
  const words = new Uint32Array(groups * wordsPerGroup)
  const middle = 2 ** (bits - 1)
  for (let group = 0; group < groups; group++) {
    const stream = { words, start: group * wordsPerGroup, step: 1, bits }
    const zeros = planes.zeros
    writeCodes(stream, rows, (row) => (zeros === null ? middle : bytes[zeros.offset + row * zeros.stride + group]!))
  }
  const qzeros = shiftZeros(words, { bits, rows, version, isGptqModel: false, sign: -1 })
  const { codes, scales, order } = planes
  const inOrder = (): Int32Array =>
    Int32Array.from({ length: cols }, (_, col) => (groupSize === 'channel' ? 0 : Math.floor(col / groupSize)))
  const plane = ({ offset, sizeInBytes }: { offset: number; sizeInBytes: number }): Uint8Array =>
    bytes.slice(offset, offset + sizeInBytes)
  return [
    {
      suffix: 'qweight',
      dtype: 'int32',
      shape: [numWords, rows],
      bytes: transposed(plane(codes), { rows, cols: numWords, elementBytes: 4 }),
    },
    { suffix: 'qzeros', dtype: 'int32', shape: [groups, wordsPerGroup], bytes: new Uint8Array(qzeros.buffer) },
    {
      suffix: 'scales',
      dtype: scaleDtype,
      shape: [groups, rows],
      bytes: transposed(plane(scales), { rows, cols: groups, elementBytes: elementBytesOf(scaleDtype) }),
    },
    {
      suffix: 'g_idx',
      dtype: 'int32',
      shape: [cols],
      bytes: order === null ? new Uint8Array(inOrder().buffer) : plane(order),
    },
  ]
}
