import { codeValues, columnGroups, numGroups, planesOf, weightBytes } from '@octavo/core/backend'
import type { GroupedFormat, GroupedSpec } from '@octavo/core/backend'
import { RandomData } from '@octavo/core/testing'
import { fusedMultiplyAdd, roundToEven } from './quantized-weight.case.ts'

export const base: GroupedFormat = {
  kind: 'grouped',
  bits: 4,
  codebook: 'integers',
  groupSize: 32,
  scaleDtype: 'float16',
  hasZeros: false,
  hasOrder: false,
}

/** What `kernels/grouped_kind.cc` makes of a format. */
export interface Plan {
  readonly format: GroupedFormat
  /** Columns to which each group is filled up. */
  readonly unit?: 16 | 32
  /** By which a table's values are divided to be integers. */
  readonly tableUnit?: number
  /** Of a code, where it is not kept in its own width. */
  readonly packedBits?: number
  readonly cols?: number
  /** Columns in any order, each group whole. */
  readonly isShuffled?: boolean
}

const iq4: readonly number[] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]

export const integerPlans: Readonly<Record<string, Plan>> = {
  'int4 g32': { format: { ...base, scaleDtype: 'bfloat16' } },
  'int4 g128': { format: { ...base, groupSize: 128 } },
  'int4 g32 asymmetric': { format: { ...base, hasZeros: true } },
  'int4 g128 asymmetric': { format: { ...base, groupSize: 128, scaleDtype: 'float32', hasZeros: true } },
  'int4 channel': { format: { ...base, groupSize: 'channel', scaleDtype: 'float32' } },
  'int4 g16': { format: { ...base, groupSize: 16 }, unit: 16 },
  'int4, the last group no whole block': { format: { ...base, groupSize: 128, hasZeros: true }, cols: 340 },
  'int4 ordered': { format: { ...base, hasZeros: true, hasOrder: true }, isShuffled: true },
  'int4 ordered, some columns of each group': { format: { ...base, groupSize: 128, hasZeros: true, hasOrder: true } },
  int2: { format: { ...base, bits: 2, groupSize: 64 } },
  'int2 asymmetric': { format: { ...base, bits: 2, groupSize: 64, hasZeros: true } },
  'int2 g16': { format: { ...base, bits: 2, groupSize: 16 }, unit: 16, packedBits: 4 },
  int3: { format: { ...base, bits: 3, groupSize: 128 } },
  'int3 asymmetric': { format: { ...base, bits: 3, hasZeros: true } },
  'int3 g48': { format: { ...base, bits: 3, groupSize: 48 }, unit: 16, packedBits: 4 },
  int5: { format: { ...base, bits: 5 } },
  'int5 asymmetric': { format: { ...base, bits: 5, hasZeros: true } },
  int6: { format: { ...base, bits: 6 } },
  'int6 asymmetric': { format: { ...base, bits: 6, hasZeros: true } },
  int7: { format: { ...base, bits: 7 }, packedBits: 8 },
  'int7 asymmetric': { format: { ...base, bits: 7, hasZeros: true }, packedBits: 8 },
  'int8 channel': { format: { ...base, bits: 8, groupSize: 'channel', scaleDtype: 'bfloat16' } },
  'int8 g128 asymmetric': { format: { ...base, bits: 8, groupSize: 128, hasZeros: true } },
  'int8 g16': { format: { ...base, bits: 8, groupSize: 16 }, unit: 16 },
  'e2m1 g16': { format: { ...base, codebook: 'e2m1', groupSize: 16, scaleDtype: 'float32' }, unit: 16, tableUnit: 0.5 },
  'e2m1 g32': { format: { ...base, codebook: 'e2m1', scaleDtype: 'bfloat16' }, tableUnit: 0.5 },
  'a table of integers': { format: { ...base, codebook: iq4 }, tableUnit: 1 },
  'a table of 2 bits': { format: { ...base, bits: 2, codebook: [-3, -0.5, 0.25, 4] }, tableUnit: 0.25, packedBits: 4 },
}

export const floatPlans: Readonly<Record<string, Plan>> = {
  'e4m3 channel': { format: { ...base, bits: 8, codebook: 'e4m3', groupSize: 'channel', scaleDtype: 'bfloat16' } },
  'e4m3 g128': { format: { ...base, bits: 8, codebook: 'e4m3', groupSize: 128, scaleDtype: 'float32' } },
  'a table of floats': { format: { ...base, codebook: iq4.map((value) => value / 127), groupSize: 64 } },
  'a table of floats g16': { format: { ...base, codebook: iq4.map((value) => value / 127), groupSize: 16 }, unit: 16 },
}

export const rows = 37
const f32 = Math.fround

/** One part of a row's packed columns: what integers stand there, less what, times what. */
interface Part {
  readonly values: readonly number[]
  readonly zero: number
  readonly scale: number
}

export interface TakenApart {
  readonly columns: readonly number[]
  readonly planes: Uint8Array
  readonly parts: readonly (readonly Part[])[]
}

const scaleWidths = { float32: 4, float16: 2, bfloat16: 2 } as const

function scaleAt(format: GroupedFormat, planes: Uint8Array, at: number): number {
  const view = new DataView(planes.buffer, planes.byteOffset)
  if (format.scaleDtype === 'float32') return view.getFloat32(at, true)
  if (format.scaleDtype === 'float16') return view.getFloat16(at, true)
  return new Float32Array(Uint32Array.of(view.getUint16(at, true) << 16).buffer)[0]!
}

/** Which column lies where, by groups; -1: a filler. */
function packedColumns(groupOf: Int32Array, groups: number, unit: number): number[] {
  const columns = Array.from({ length: groups }, (_, group) => {
    const own = [...groupOf.keys()].filter((col) => groupOf[col] === group)
    return [...own, ...Array.from({ length: (unit - (own.length % unit)) % unit }, () => -1)]
  }).flat()
  while (columns.length % 32 !== 0) columns.push(-1)
  return columns
}

export function randomPlanes(spec: GroupedSpec, isShuffled: boolean): Uint8Array {
  let planes = new Uint8Array()
  const random = new RandomData(spec.cols)
  const keep = {
    packWeight: (_: unknown, fill: (bytes: Uint8Array) => void) => {
      planes = new Uint8Array(weightBytes(spec))
      fill(planes)
      return null as never
    },
  }
  random.weight(keep, spec.format, [spec.rows, spec.cols])
  const { order } = planesOf(spec)
  if (order !== null) {
    const size = spec.format.groupSize as number
    const groupOf = isShuffled
      ? Int32Array.from(random.permutation(spec.cols), (col) => Math.floor(col / size))
      : Int32Array.from({ length: spec.cols }, () => random.integer(0, numGroups(spec.format, spec.cols) - 1))
    planes.set(new Uint8Array(groupOf.buffer), order.offset)
  }
  return planes
}

export function takeApart({ format, unit = 32, tableUnit = 1, isShuffled = false }: Plan, cols: number): TakenApart {
  const spec = { format, rows, cols }
  const planes = randomPlanes(spec, isShuffled)
  const groupOf = columnGroups(spec, planes)
  const columns = packedColumns(groupOf, numGroups(format, cols), unit)
  const { codes, scales, zeros } = planesOf(spec)
  const values = codeValues(format).map((value) => value / tableUnit)
  const width = scaleWidths[format.scaleDtype]
  const parts = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: columns.length / unit }, (__, part): Part => {
      const own = columns.slice(part * unit, (part + 1) * unit)
      const group = own[0] === -1 ? 0 : groupOf[own[0]!]!
      return {
        values: own.map((col) => {
          if (col === -1) return 0
          const bit = col * format.bits
          const at = codes.offset + row * codes.stride + (bit >>> 3)
          return values[((planes[at]! | (planes[at + 1]! << 8)) >>> (bit & 7)) & (2 ** format.bits - 1)]!
        }),
        zero: zeros === null ? 0 : planes[zeros.offset + row * zeros.stride + group]!,
        scale: scaleAt(format, planes, scales.offset + row * scales.stride + group * width) * tableUnit,
      }
    }),
  )
  return { columns, planes, parts }
}

function roundedBlock(x: Float32Array): { codes: readonly number[]; scale: number } {
  const largest = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  const inverse = f32(127 / largest)
  return {
    codes: Array.from(x, (value) => (largest === 0 ? 0 : roundToEven(f32(value * inverse)))),
    scale: f32(largest / 127),
  }
}

/** The arithmetic that `linear_quant.h` states, done plainly, on activations in the packed order. */
export function plainLinear(
  x: Float32Array,
  { parts }: TakenApart,
  [n, cols, unit]: readonly [number, number, number],
): Float32Array {
  const y = new Float32Array(n * rows)
  for (let i = 0; i < n; i++) {
    for (let start = 0; start < cols; start += 32) {
      const { codes, scale } = roundedBlock(x.subarray(i * cols + start, i * cols + start + 32))
      for (let row = 0; row < rows; row++) {
        for (let at = start; at < start + 32; at += unit) {
          const part = parts[row]![at / unit]!
          const dot = part.values.reduce((sum, value, k) => sum + (value - part.zero) * codes[at - start + k]!, 0)
          y[i * rows + row] = fusedMultiplyAdd(dot, f32(part.scale * scale), y[i * rows + row]!)
        }
      }
    }
  }
  return y
}

/** A row's weights as `linear_wide.h` states. */
function fixedPointRow(parts: readonly Part[], plan: Plan): { unit: number; values: number[] } {
  const { hasZeros, bits } = plan.format
  const valueBits = plan.tableUnit === undefined ? (plan.packedBits ?? bits) : 8
  const shift = (hasZeros ? 15 : 16) - valueBits
  const signed = hasZeros && valueBits === 8 ? 128 : 0
  const codeBound = 2 ** (15 - shift)
  const mins = parts.map(({ zero, scale }) => f32((signed - zero) * scale))
  const largest = parts.reduce((max, { scale }, i) => {
    const bound = f32(Math.abs(scale) * codeBound)
    return Math.max(max, hasZeros ? f32(bound + Math.abs(mins[i]!)) : bound)
  }, 0)
  const inverse = f32(32512 / largest)
  const values = parts.flatMap((part, i) => {
    const m = roundToEven(f32(part.scale * f32(inverse * codeBound)))
    const min = hasZeros ? roundToEven(f32(mins[i]! * inverse)) : 0
    return part.values.map((value) => Math.floor(((value - signed) * 2 ** shift * m + 2 ** 14) / 2 ** 15) + min)
  })
  return { unit: f32(largest / 32512), values }
}

export function plainWideLinear(
  x: Float32Array,
  { parts }: TakenApart,
  plan: Plan,
  [n, cols]: readonly [number, number],
): Float32Array {
  const fixed = parts.map((row) => fixedPointRow(row, plan))
  const y = new Float32Array(n * rows)
  for (let i = 0; i < n; i++) {
    for (let start = 0; start < cols; start += 256) {
      const { codes, scale } = roundedBlock(x.subarray(i * cols + start, i * cols + Math.min(cols, start + 256)))
      for (let row = 0; row < rows; row++) {
        const dot = codes.reduce((sum, code, k) => sum + code * fixed[row]!.values[start + k]!, 0)
        y[i * rows + row] = fusedMultiplyAdd(f32(dot), scale, y[i * rows + row]!)
      }
    }
  }
  return y.map((value, at) => value * fixed[at % rows]!.unit)
}

export function exactLinear(
  x: Float32Array,
  { parts }: TakenApart,
  [n, cols, unit]: readonly [number, number, number],
): Float64Array {
  return Float64Array.from({ length: n * rows }, (_, at) => {
    const [i, row] = [Math.floor(at / rows), at % rows]
    let sum = 0
    parts[row]!.forEach(({ values, zero, scale }, part) => {
      values.forEach((value, k) => (sum += (value - zero) * scale * x[i * cols + part * unit + k]!))
    })
    return sum
  })
}
