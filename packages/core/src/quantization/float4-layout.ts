import { QuantizationError } from '../errors.ts'
import { numGroups, type GroupedSpec, type GroupedWeight } from '../tensor/grouped-format.ts'
import { assert } from '../util/assert.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { mxfp4GroupSize, nvfp4GroupSize } from './float4-tensors.ts'
import { e4m3Scales } from './float8-codes.ts'
import { codeRows, scaleValues } from './float8-layout.ts'

/*
 * e2m1 codes, two in a byte, the even column's in the low half. MXFP4: a power of two for 32 columns. NVFP4: e4m3 for 16 columns
 * and a float32 for all: compressed-tensors divides by it (`weight_global_scale`), ModelOpt multiplies (`weight_scale_2`).
 */

/** Why the layout can't hold such a weight; `null` where it can. */
export function mxfp4Mismatch(spec: GroupedSpec): string | null {
  return float4Mismatch(spec, mxfp4GroupSize, 'MXFP4')
}

/** Why the layout can't hold such a weight; `null` where it can. */
export function nvfp4Mismatch(spec: GroupedSpec): string | null {
  return float4Mismatch(spec, nvfp4GroupSize, 'NVFP4')
}

function float4Mismatch({ format, cols }: GroupedSpec, groupSize: number, name: string): string | null {
  if (format.codebook !== 'e2m1') return `${name} holds e2m1 codes`
  if (format.hasOrder) return `${name} has its columns in groups as they stand`
  const own = format.groupSize === 'channel' ? cols : format.groupSize
  if (own !== groupSize) return `${name} has groups of ${groupSize} columns, not ${own}`
  return cols % groupSize === 0 ? null : `${name} has whole groups, and ${cols} are no multiple of ${groupSize}`
}

/**
 * compressed-tensors' "mxfp4-pack-quantized", of a weight without `mxfp4Mismatch`.
 * @throws QuantizationError for scales that are no powers of two
 */
export function encodeMxfp4(weight: GroupedWeight): EncodedTensor[] {
  const { rows, cols } = weight
  return [
    { suffix: 'weight_packed', dtype: 'uint8', shape: [rows, cols / 2], bytes: codeRows(weight, cols / 2) },
    { suffix: 'weight_scale', dtype: 'uint8', shape: [rows, cols / mxfp4GroupSize], bytes: exponentsOf(weight) },
  ]
}

/**
 * gpt-oss's: one projection of all experts, as `<experts>.<projection>_blocks` and `_scales`; a suffix is what stands behind
 * the underscore.
 * @throws QuantizationError for scales that are no powers of two
 */
export function encodeMxfp4Experts(experts: readonly GroupedWeight[]): EncodedTensor[] {
  const [first] = experts
  assert(first !== undefined, 'a layer of experts has one')
  const { rows, cols } = first
  const same = experts.every((expert) => expert.rows === rows && expert.cols === cols)
  assert(same, 'experts of one layer have one shape')
  const shape = [experts.length, rows, cols / mxfp4GroupSize]
  return [
    {
      suffix: 'blocks',
      dtype: 'uint8',
      shape: [...shape, mxfp4GroupSize / 2],
      bytes: joined(experts.map((expert) => codeRows(expert, cols / 2))),
    },
    { suffix: 'scales', dtype: 'uint8', shape, bytes: joined(experts.map(exponentsOf)) },
  ]
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** e8m0 of each scale. */
function exponentsOf(weight: GroupedWeight): Uint8Array {
  const groups = numGroups(weight.format, weight.cols)
  return Uint8Array.from(scaleValues(weight), (scale, i) => {
    const exponent = Math.log2(scale)
    if (Number.isInteger(exponent) && exponent >= -127 && exponent <= 127 && 2 ** exponent === scale)
      return exponent + 127
    throw new QuantizationError(
      `row ${Math.floor(i / groups)} has the scale ${scale}; MXFP4's are powers of two from 2^-127 to 2^127. Quantize with e8m0 scales`,
    )
  })
}

export interface Nvfp4Layout {
  readonly dialect: 'compressed-tensors' | 'modelopt'
  /** As the dialect has it, where it is known; left out, one by which all scales are e4m3 is looked for. */
  readonly globalScale?: number
}

/**
 * Of a weight without `nvfp4Mismatch`.
 * @throws QuantizationError where no global scale makes all scales e4m3
 */
export function encodeNvfp4(weight: GroupedWeight, { dialect, globalScale }: Nvfp4Layout): EncodedTensor[] {
  const { rows, cols } = weight
  const isDivisor = dialect === 'compressed-tensors'
  const scales = scaleValues(weight)
  const found = globalScale === undefined ? splitScales(scales, isDivisor) : codesUnder(scales, globalScale, isDivisor)
  if (found === null)
    throw new QuantizationError(
      `its scales are no e4m3 values ${isDivisor ? 'divided by' : 'times'} one number, as NVFP4 (${dialect}) has them; quantize with e4m3 scales`,
    )
  return [
    {
      suffix: isDivisor ? 'weight_packed' : 'weight',
      dtype: 'uint8',
      shape: [rows, cols / 2],
      bytes: codeRows(weight, cols / 2),
    },
    { suffix: 'weight_scale', dtype: 'float8_e4m3', shape: [rows, cols / nvfp4GroupSize], bytes: found.codes },
    {
      suffix: isDivisor ? 'weight_global_scale' : 'weight_scale_2',
      dtype: 'float32',
      shape: isDivisor ? [1] : [],
      bytes: new Uint8Array(Float32Array.of(found.globalScale).buffer),
    },
  ]
}

interface SplitScales {
  readonly codes: Uint8Array
  readonly globalScale: number
}

/** Neighbours of a quotient among which the number that was rounded away is. */
const maxUlps = 4
const largestCode = 0x7e

/** e4m3 codes and the scale of all. The largest scale is e4m3's largest value, unless layers that are merged share the global one. */
function splitScales(scales: Float32Array, isDivisor: boolean): SplitScales | null {
  const largest = scales.reduce((max, scale) => Math.max(max, scale), 0)
  if (largest === 0) return codesUnder(scales, 1, isDivisor)
  const values = e4m3Scales((value) => value)
  for (let code = largestCode; code > 0; code--) {
    const near = Math.fround(isDivisor ? values[code]! / largest : largest / values[code]!)
    for (const candidate of neighbours(near)) {
      const found = codesUnder(scales, candidate, isDivisor)
      if (found !== null) return found
    }
  }
  return null
}

function neighbours(value: number): Float32Array {
  const bits = new Uint32Array(Float32Array.of(value).buffer)
  const offsets = Array.from({ length: maxUlps }, (_, i) => [i + 1, -i - 1]).flat()
  return new Float32Array(Uint32Array.from([0, ...offsets], (offset) => bits[0]! + offset).buffer)
}

/** `null` unless each scale is an e4m3 value under the global one, as the reader computes it. */
function codesUnder(scales: Float32Array, globalScale: number, isDivisor: boolean): SplitScales | null {
  if (!Number.isFinite(globalScale) || globalScale <= 0) return null
  const table = e4m3Scales((value) => (isDivisor ? value / globalScale : value * globalScale))
  const codeOf = new Map<number, number>()
  for (let code = largestCode; code >= 0; code--) codeOf.set(table[code]!, code)
  const codes = new Uint8Array(scales.length)
  for (let i = 0; i < scales.length; i++) {
    const code = codeOf.get(scales[i]!)
    if (code === undefined) return null
    codes[i] = code
  }
  return { codes, globalScale }
}
