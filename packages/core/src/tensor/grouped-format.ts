import { UnsupportedModelError } from '../errors.ts'
import { assert } from '../util/assert.ts'
import { ceilDiv } from '../util/math.ts'
import { widenRow } from './dequantize.ts'
import { rowBytes, type DType } from './dtype.ts'

/**
 * A weight of several planes: codes, and one scale (and zero) for each group of a row's columns.
 *
 *     w[row][col] = (values[code] - zero[row][group]) * scale[row][group]
 *
 * in float32, rounded once at the product. The planes lie one behind the other without padding, little-endian:
 *
 *     codes   [rows][ceil(cols * bits / 32)] uint32: a row is one stream of bits, code `col` at bit `col * bits`, lowest bit
 *             first, across words; the bits behind the last code mean nothing (compressed-tensors' `weight_packed`)
 *     order   [cols] int32, with `hasOrder`: the group of each column, for all rows (GPTQ's `g_idx`)
 *     scales  [rows][numGroups] in `scaleDtype`
 *     zeros   [rows][numGroups] uint8, with `hasZeros`
 */
export interface GroupedFormat {
  readonly kind: 'grouped'
  /** Of a code: 2 to 8. */
  readonly bits: number
  readonly codebook: Codebook
  /** Neighbouring columns that share a scale, unless there is an order; 'channel': all columns of a row. */
  readonly groupSize: number | 'channel'
  readonly scaleDtype: DType
  /** Integers only. Without zeros they lie around the middle: code 2^(bits - 1) is 0. */
  readonly hasZeros: boolean
  readonly hasOrder: boolean
}

/** Integers without zeros, their groups as columns stand, unless it is said otherwise. */
export function groupedFormat(
  format: Pick<GroupedFormat, 'bits' | 'groupSize' | 'scaleDtype'> & Partial<GroupedFormat>,
): GroupedFormat {
  return { kind: 'grouped', codebook: 'integers', hasZeros: false, hasOrder: false, ...format }
}

export interface GroupedSpec {
  readonly format: GroupedFormat
  readonly rows: number
  readonly cols: number
}

/** A grouped weight in plain memory: what quantizers make, and what layouts of files are read into and written from. */
export interface GroupedWeight extends GroupedSpec {
  /** One plane behind the other, as `planesOf` says. */
  readonly planes: Uint8Array
}

/**
 * What codes stand for; floats by their names in OCP's specifications (MX, FP8: no infinities, NaN in the last code), or a
 * table of 2^bits values.
 */
export type Codebook = 'integers' | 'e2m1' | 'e4m3' | readonly number[]

export type PlaneName = 'codes' | 'order' | 'scales' | 'zeros'

/** Where a plane lies among a weight's bytes. */
export interface PlaneLayout {
  readonly offset: number
  readonly sizeInBytes: number
  /** From row to row. */
  readonly stride: number
}

export interface GroupedPlanes {
  readonly codes: PlaneLayout
  /** One row. */
  readonly order: PlaneLayout | null
  readonly scales: PlaneLayout
  readonly zeros: PlaneLayout | null
  /** Of all of them. */
  readonly sizeInBytes: number
}

interface FloatCodes {
  readonly exponentBits: number
  readonly mantissaBits: number
  /** Whether the largest code of each sign is NaN. */
  readonly hasNaN: boolean
}

const floatCodes: Readonly<Record<'e2m1' | 'e4m3', FloatCodes>> = {
  e2m1: { exponentBits: 2, mantissaBits: 1, hasNaN: false },
  e4m3: { exponentBits: 4, mantissaBits: 3, hasNaN: true },
}

const minBits = 2
const maxBits = 8

/** What each of the 2^bits codes stands for before a zero is subtracted. */
export function codeValues({
  bits,
  codebook,
  hasZeros,
}: Pick<GroupedFormat, 'bits' | 'codebook' | 'hasZeros'>): Float32Array {
  if (typeof codebook !== 'string') return Float32Array.from(codebook)
  const middle = hasZeros ? 0 : 2 ** (bits - 1)
  return Float32Array.from({ length: 2 ** bits }, (_, code) =>
    codebook === 'integers' ? code - middle : floatOfCode(floatCodes[codebook], code),
  )
}

function floatOfCode({ exponentBits, mantissaBits, hasNaN }: FloatCodes, code: number): number {
  const numMagnitudes = 2 ** (exponentBits + mantissaBits)
  const sign = code >= numMagnitudes ? -1 : 1
  const magnitude = code % numMagnitudes
  if (hasNaN && magnitude === numMagnitudes - 1) return NaN
  const bias = 2 ** (exponentBits - 1) - 1
  const exponent = Math.floor(magnitude / 2 ** mantissaBits)
  const fraction = (magnitude % 2 ** mantissaBits) / 2 ** mantissaBits
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias))
}

/** Scales of each row. */
export function numGroups({ groupSize }: GroupedFormat, cols: number): number {
  return groupSize === 'channel' ? 1 : ceilDiv(cols, groupSize)
}

export function planesOf({ format, rows, cols }: GroupedSpec): GroupedPlanes {
  const groups = numGroups(format, cols)
  let sizeInBytes = 0
  const place = (numRows: number, stride: number): PlaneLayout => {
    const plane = { offset: sizeInBytes, sizeInBytes: numRows * stride, stride }
    sizeInBytes += plane.sizeInBytes
    return plane
  }
  const codes = place(rows, ceilDiv(cols * format.bits, 32) * 4)
  const order = format.hasOrder ? place(1, cols * 4) : null
  const scales = place(rows, rowBytes(format.scaleDtype, groups))
  const zeros = format.hasZeros ? place(rows, groups) : null
  return { codes, order, scales, zeros, sizeInBytes }
}

/** For messages: 'int4 in groups of 128 with zeros, scales in float16'. */
export function describeGrouped({ bits, codebook, groupSize, scaleDtype, hasZeros, hasOrder }: GroupedFormat): string {
  const codes =
    codebook === 'integers'
      ? `int${bits}`
      : typeof codebook === 'string'
        ? codebook
        : `codes of a table of ${bits} bits`
  const groups = groupSize === 'channel' ? 'per channel' : `in groups of ${groupSize}`
  const extras = [...(hasZeros ? ['zeros'] : []), ...(hasOrder ? ['an order'] : [])]
  return `${codes} ${groups}${extras.length > 0 ? ` with ${extras.join(' and ')}` : ''}, scales in ${scaleDtype}`
}

/** @throws UnsupportedModelError for bits, groups or combinations that no weight can have. */
export function checkGroupedFormat(format: GroupedFormat): void {
  const { bits, codebook, groupSize, hasZeros } = format
  const refuse = (reason: string): never => {
    throw new UnsupportedModelError(`Weights as ${describeGrouped(format)} can't be packed: ${reason}.`)
  }
  if (!Number.isInteger(bits) || bits < minBits || bits > maxBits)
    refuse(`codes have ${minBits} to ${maxBits} bits, not ${bits}; load a checkpoint quantized to one of these`)
  if (groupSize !== 'channel' && (!Number.isInteger(groupSize) || groupSize < 1))
    refuse(`a group has 1 column or more, not ${groupSize}; for one group per row say 'channel'`)
  if (codebook === 'integers') return
  if (hasZeros) refuse('only integers have zeros')
  if (typeof codebook !== 'string') {
    if (codebook.length !== 2 ** bits)
      refuse(`${bits} bits need a table of ${2 ** bits} values, not ${codebook.length}`)
    return
  }
  const { exponentBits, mantissaBits } = floatCodes[codebook]
  const width = 1 + exponentBits + mantissaBits
  if (bits !== width) refuse(`${codebook} has ${width} bits, not ${bits}`)
}

/** Reads row `row` widened to float32 into `out[0 … cols)`. */
export type ReadRow = (row: number, out: Float32Array) => void

/** The reference: rows of the planes in `bytes`, which must not move. Checks the order, by which memory is addressed. */
export function createGroupedReader(spec: GroupedSpec, bytes: Uint8Array): ReadRow {
  const { format, cols } = spec
  const { bits, scaleDtype } = format
  const { codes, scales: scaleLayout, zeros } = planesOf(spec)
  const values = codeValues(format)
  const groupOf = columnGroups(spec, bytes)
  const mask = values.length - 1
  const scales = new Float32Array(numGroups(format, cols))
  return (row, out) => {
    const scaleStart = scaleLayout.offset + row * scaleLayout.stride
    widenRow(scaleDtype, bytes.subarray(scaleStart, scaleStart + scaleLayout.stride), scales, scales.length)
    const start = codes.offset + row * codes.stride
    const zeroStart = zeros === null ? null : zeros.offset + row * zeros.stride
    for (let col = 0, bit = 0; col < cols; col++, bit += bits) {
      const at = start + (bit >>> 3)
      const code = ((bytes[at]! | (bytes[at + 1]! << 8)) >>> (bit & 7)) & mask
      const group = groupOf[col]!
      const value = zeroStart === null ? values[code]! : values[code]! - bytes[zeroStart + group]!
      // Exact in float64, so that it is rounded once, at the store.
      out[col] = value * scales[group]!
    }
  }
}

/** The group of each column. */
export function columnGroups(spec: GroupedSpec, bytes: Uint8Array): Int32Array {
  const { format, cols } = spec
  const groups = numGroups(format, cols)
  const { groupSize } = format
  const { order } = planesOf(spec)
  if (order === null)
    return Int32Array.from({ length: cols }, (_, col) => (groupSize === 'channel' ? 0 : Math.floor(col / groupSize)))
  const groupOf = new Int32Array(bytes.slice(order.offset, order.offset + order.sizeInBytes).buffer)
  const wrong = groupOf.find((group) => group < 0 || group >= groups)
  assert(wrong === undefined, `a column of group ${wrong}, and there are ${groups}`)
  return groupOf
}
