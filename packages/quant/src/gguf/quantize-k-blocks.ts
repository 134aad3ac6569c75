import { writeFloat16 } from './quantize-legacy-blocks.ts'
import { searchAffine, searchSymmetric, type AffineScale, type WeightedValues } from './scale-search.ts'

const blockSize = 256
const codes = new Uint8Array(blockSize)
const bestCodes = new Uint8Array(blockSize)
const affine: AffineScale = { scale: 0, min: 0 }

/** Of the sub-blocks of one block: as found, and as multiples of the block's own. */
interface SubBlocks {
  readonly count: number
  readonly size: number
  readonly maxCode: number
  readonly scales: Float64Array
  readonly mins: Float64Array
  readonly scaleCodes: Uint8Array
  readonly minCodes: Uint8Array
}

function createSubBlocks(maxCode: number): SubBlocks {
  return {
    count: 8,
    size: 32,
    maxCode,
    scales: new Float64Array(8),
    mins: new Float64Array(8),
    scaleCodes: new Uint8Array(8),
    minCodes: new Uint8Array(8),
  }
}

const q4k = createSubBlocks(15)
const q5k = createSubBlocks(31)

export function quantizeQ4K(source: WeightedValues, out: Uint8Array, at: number): void {
  quantizeWithMins(source, q4k, out, at)
  packScales(q4k, out, at + 4)
  packLowNibbles(out, at + 16)
}

export function quantizeQ5K(source: WeightedValues, out: Uint8Array, at: number): void {
  quantizeWithMins(source, q5k, out, at)
  packScales(q5k, out, at + 4)
  for (let i = 0; i < 32; i++) {
    let bits = 0
    for (let j = 0; j < 8; j++) bits |= (bestCodes[32 * j + i]! >>> 4) << j
    out[at + 16 + i] = bits
  }
  packLowNibbles(out, at + 48)
}

/** `d` and `dmin` at `out[at …]`, the rest in `sub` and `bestCodes`. */
function quantizeWithMins(source: WeightedValues, sub: SubBlocks, out: Uint8Array, at: number): void {
  const { count, size, maxCode, scales, mins } = sub
  let maxScale = 0
  let maxMin = 0
  for (let j = 0; j < count; j++) {
    searchAffine(
      source,
      { start: j * size, size, maxCode, isMinNegative: true, numSteps: 12, maxStretch: maxCode === 15 ? 1 : 0.7 },
      affine,
    )
    scales[j] = affine.scale
    mins[j] = -affine.min
    maxScale = Math.max(maxScale, scales[j]!)
    maxMin = Math.max(maxMin, mins[j]!)
  }
  let d = writeFloat16(out, at, maxScale / 63)
  let dmin = writeFloat16(out, at + 2, maxMin / 63)
  for (let j = 0; j < count; j++) chooseSubScale(source, sub, { j, d, dmin })
  let error = roundBlock(source, sub, d, dmin)
  bestCodes.set(codes)
  for (let round = 0; round < 2 && error > 0; round++) {
    const refit = refitScales(source, sub)
    if (refit === null) return
    const [nextD, nextMin] = [writeFloat16(out, at, refit.scale), writeFloat16(out, at + 2, refit.min)]
    const nextError = roundBlock(source, sub, nextD, nextMin)
    if (!(nextError < error)) {
      writeFloat16(out, at, d)
      writeFloat16(out, at + 2, dmin)
      return
    }
    d = nextD
    dmin = nextMin
    error = nextError
    bestCodes.set(codes)
  }
}

/** The 6-bit scale and minimum of sub-block `j`: of the multiples next to what was found, those with the least error. */
function chooseSubScale(
  { values, weights }: WeightedValues,
  { size, maxCode, scales, mins, scaleCodes, minCodes }: SubBlocks,
  { j, d, dmin }: { j: number; d: number; dmin: number },
): void {
  const start = j * size
  const at = d === 0 ? 0 : scales[j]! / d
  let best = Infinity
  const floor = Math.min(63, Math.floor(at))
  for (let scaleCode = floor; scaleCode <= Math.min(63, floor + 1); scaleCode++) {
    const scale = scaleCode * d
    const inverse = scale === 0 ? 0 : 1 / scale
    let min = mins[j]!
    let previous = -1
    for (let round = 0; round < 2; round++) {
      const minCode = dmin === 0 ? 0 : Math.max(0, Math.min(63, Math.round(min / dmin)))
      if (minCode === previous) break
      previous = minCode
      const shift = minCode * dmin
      let error = 0
      let rest = 0
      let sumW = 0
      for (let i = start; i < start + size; i++) {
        const x = values[i]! + shift
        const q = x * inverse + 0.5
        const code = q < 0 ? 0 : q > maxCode ? maxCode : q | 0
        const difference = x - scale * code
        const weighted = weights[i]! * difference
        error += weighted * difference
        rest += weighted
        sumW += weights[i]!
      }
      if (error < best) {
        best = error
        scaleCodes[j] = scaleCode
        minCodes[j] = minCode
      }
      if (sumW === 0) break
      // The minimum that suits these codes.
      min = shift - rest / sumW
    }
  }
}

/** Codes for these scales; their squared error. */
function roundBlock({ values, weights }: WeightedValues, sub: SubBlocks, d: number, dmin: number): number {
  const { count, size, maxCode, scaleCodes, minCodes } = sub
  let error = 0
  for (let j = 0; j < count; j++) {
    const scale = d * scaleCodes[j]!
    const min = dmin * minCodes[j]!
    const inverse = scale === 0 ? 0 : 1 / scale
    for (let i = j * size; i < (j + 1) * size; i++) {
      const x = values[i]! + min
      const at = x * inverse + 0.5
      const code = at < 0 ? 0 : at > maxCode ? maxCode : at | 0
      codes[i] = code
      const difference = x - scale * code
      error += weights[i]! * difference * difference
    }
  }
  return error
}

/** The block's scale and minimum by least squares, given all codes: `value = d * a - dmin * b`. */
function refitScales({ values, weights }: WeightedValues, sub: SubBlocks): AffineScale | null {
  const { count, size, scaleCodes, minCodes } = sub
  let [sumAA, sumAB, sumBB, sumXA, sumXB] = [0, 0, 0, 0, 0]
  for (let j = 0; j < count; j++) {
    const scaleCode = scaleCodes[j]!
    const b = minCodes[j]!
    for (let i = j * size; i < (j + 1) * size; i++) {
      const w = weights[i]!
      const a = scaleCode * bestCodes[i]!
      const x = values[i]!
      sumAA += w * a * a
      sumAB += w * a * b
      sumBB += w * b * b
      sumXA += w * x * a
      sumXB += w * x * b
    }
  }
  const determinant = sumAA * sumBB - sumAB * sumAB
  if (!(determinant > 1e-12 * sumAA * sumBB)) return sumAA > 0 && sumBB === 0 ? { scale: sumXA / sumAA, min: 0 } : null
  const scale = (sumXA * sumBB - sumXB * sumAB) / determinant
  const min = (sumXA * sumAB - sumXB * sumAA) / determinant
  return scale > 0 && min >= 0 ? { scale, min } : null
}

/** Sub-blocks 0 … 3 in the low 6 bits of bytes 0 … 7, the others in nibbles behind them and the upper bits of these. */
function packScales({ scaleCodes, minCodes }: SubBlocks, out: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++) {
    out[at + j] = scaleCodes[j]! | ((scaleCodes[j + 4]! >>> 4) << 6)
    out[at + 4 + j] = minCodes[j]! | ((minCodes[j + 4]! >>> 4) << 6)
    out[at + 8 + j] = (scaleCodes[j + 4]! & 15) | ((minCodes[j + 4]! & 15) << 4)
  }
}

function packLowNibbles(out: Uint8Array, at: number): void {
  for (let pair = 0; pair < 4; pair++) {
    for (let i = 0; i < 32; i++)
      out[at + 32 * pair + i] = (bestCodes[64 * pair + i]! & 15) | ((bestCodes[64 * pair + 32 + i]! & 15) << 4)
  }
}

const q6kScales = new Float64Array(16)
const q6kScaleCodes = new Int8Array(16)

export function quantizeQ6K(source: WeightedValues, out: Uint8Array, at: number): void {
  let extreme = 0
  for (let j = 0; j < 16; j++) {
    const scale = searchSymmetric(source, { start: 16 * j, size: 16, limit: 32, numSteps: 7, maxStretch: 1 })
    q6kScales[j] = scale
    if (Math.abs(scale) > Math.abs(extreme)) extreme = scale
  }
  let d = writeFloat16(out, at + 208, extreme / -128)
  for (let j = 0; j < 16; j++)
    q6kScaleCodes[j] = d === 0 ? 0 : Math.max(-128, Math.min(127, Math.round(q6kScales[j]! / d)))
  let error = roundQ6K(source, d)
  bestCodes.set(codes)
  const refit = refitQ6K(source)
  if (refit !== null) {
    const next = writeFloat16(out, at + 208, refit)
    const nextError = roundQ6K(source, next)
    if (nextError < error) {
      error = nextError
      d = next
      bestCodes.set(codes)
    } else writeFloat16(out, at + 208, d)
  }
  for (let q = 0; q < 8; q += 4) {
    for (let i = 0; i < 32; i++) {
      const first = 32 * q + i
      const a = bestCodes[first]!
      const b = bestCodes[first + 32]!
      const c = bestCodes[first + 64]!
      const e = bestCodes[first + 96]!
      out[at + 16 * q + i] = (a & 15) | ((c & 15) << 4)
      out[at + 16 * q + 32 + i] = (b & 15) | ((e & 15) << 4)
      out[at + 128 + 8 * q + i] = (a >>> 4) | ((b >>> 4) << 2) | ((c >>> 4) << 4) | ((e >>> 4) << 6)
    }
  }
  for (let j = 0; j < 16; j++) out[at + 192 + j] = q6kScaleCodes[j]!
}

function roundQ6K({ values, weights }: WeightedValues, d: number): number {
  let error = 0
  for (let j = 0; j < 16; j++) {
    const scale = d * q6kScaleCodes[j]!
    const inverse = scale === 0 ? 0 : 1 / scale
    for (let i = 16 * j; i < 16 * j + 16; i++) {
      const x = values[i]!
      const at = x * inverse + 32.5
      const code = at < 0 ? 0 : at > 63 ? 63 : at | 0
      codes[i] = code
      const difference = x - scale * (code - 32)
      error += weights[i]! * difference * difference
    }
  }
  return error
}

function refitQ6K({ values, weights }: WeightedValues): number | null {
  let sumXA = 0
  let sumAA = 0
  for (let i = 0; i < blockSize; i++) {
    const a = q6kScaleCodes[i >>> 4]! * (bestCodes[i]! - 32)
    const weighted = weights[i]! * a
    sumXA += weighted * values[i]!
    sumAA += weighted * a
  }
  return sumAA > 0 ? sumXA / sumAA : null
}
