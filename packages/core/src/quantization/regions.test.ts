import { describe, expect, it } from 'vitest'
import { randomValues } from '../layers/memory-weights.case.ts'
import { singleRank } from '../layers/communicator.ts'
import type { MethodLoader } from '../layers/linear-method.ts'
import type { MatrixSelection } from '../loading/matrix-parts.ts'
import { WeightView } from '../loading/weight-view.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { createGroupedReader, planesOf, type GroupedFormat, type GroupedWeight } from '../tensor/grouped-format.ts'
import { isGrouped, weightBytes, type PackedWeight } from '../tensor/packed-weight.ts'
import { encodeAwq } from './awq-layout.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { encodeGptq } from './gptq-layout.ts'
import { createSchemeMethods } from './grouped-method.ts'
import { encodeIntQuantized } from './int-quantized-layout.ts'
import { encodePackQuantized } from './pack-quantized-layout.ts'
import { readGrouped } from './load-grouped.ts'
import { RawWeights } from './raw-weights.case.ts'

interface Shape {
  readonly bits: number
  readonly groupSize: number | 'channel'
  readonly hasZeros: boolean
  readonly hasOrder: boolean
  readonly rows: number
  readonly cols: number
}

/** Random codes, scales in float16, zeros of all values, and columns in mixed groups. */
function randomWeight({ rows, cols, ...shape }: Shape, seed: number): GroupedWeight {
  const format: GroupedFormat = { kind: 'grouped', codebook: 'integers', scaleDtype: 'float16', ...shape }
  const spec = { format, rows, cols }
  const layout = planesOf(spec)
  const planes = new Uint8Array(layout.sizeInBytes)
  const bytes = randomValues(planes.length, seed).map((value) => Math.floor((value + 1) * 128))
  planes.set(bytes)
  const numCodeBits = cols * shape.bits
  const words = new Uint32Array(planes.buffer, 0, (rows * layout.codes.stride) / 4)
  // Bits behind the last code mean nothing; zeros compare equal.
  if (numCodeBits % 32 > 0)
    for (let row = 1; row <= rows; row++) words[(row * layout.codes.stride) / 4 - 1]! &= 2 ** (numCodeBits % 32) - 1
  const groups = layout.scales.stride / 2
  const scales = randomValues(rows * groups, seed + 1)
  encodeRow('float16', scales, planes, layout.scales.offset)
  if (layout.order !== null) {
    const order = Int32Array.from(randomValues(cols, seed + 2), (value) => Math.floor(((value + 1) / 2) * groups))
    planes.set(new Uint8Array(order.buffer), layout.order.offset)
  }
  if (layout.zeros !== null) for (let i = layout.zeros.offset; i < planes.length; i++) planes[i]! &= 2 ** shape.bits - 1
  return { ...spec, planes }
}

/** Float32 values `[rows][cols]`. */
function dequantize(weight: GroupedWeight): Float32Array[] {
  const readRow = createGroupedReader(weight, weight.planes)
  return Array.from({ length: weight.rows }, (_, row) => {
    const out = new Float32Array(weight.cols)
    readRow(row, out)
    return out
  })
}

interface Layout {
  readonly name: string
  readonly shape: Shape
  readonly section: Record<string, unknown>
  encode(weight: GroupedWeight): EncodedTensor[]
}

const shape: Shape = { bits: 4, groupSize: 32, hasZeros: true, hasOrder: false, rows: 32, cols: 128 }

function compressed({ bits, groupSize }: Shape): Record<string, unknown> {
  const strategy = groupSize === 'channel' ? { strategy: 'channel' } : { strategy: 'group', group_size: groupSize }
  const weights = { num_bits: bits, type: 'int', ...strategy }
  return { quant_method: 'compressed-tensors', config_groups: { g: { targets: ['Linear'], weights } } }
}

function gptq({ bits, groupSize }: Shape): Record<string, unknown> {
  return {
    quant_method: 'gptq',
    bits,
    group_size: groupSize === 'channel' ? -1 : groupSize,
    desc_act: true,
    sym: false,
  }
}

const layouts: Layout[] = [
  ...[2, 3, 4, 8].flatMap((bits) =>
    (['gptq', 'gptq_v2'] as const).map((version): Layout => {
      const own = { ...shape, bits, hasOrder: bits === 4, groupSize: bits === 8 ? ('channel' as const) : 32 }
      return {
        name: `${version}, ${bits} bits`,
        shape: own,
        section: { ...gptq(own), checkpoint_format: version },
        encode: (weight) => encodeGptq(weight, version),
      }
    }),
  ),
  ...[32, 40, 'channel' as const].map((groupSize): Layout => {
    const own = { ...shape, groupSize, cols: 124 }
    return {
      name: `awq in groups of ${groupSize}`,
      shape: own,
      section: { quant_method: 'awq', bits: 4, group_size: groupSize === 'channel' ? -1 : groupSize },
      encode: encodeAwq,
    }
  }),
  ...[2, 3, 4, 5, 6, 7, 8].map((bits): Layout => {
    const own = { ...shape, bits, cols: 117, rows: 29, hasOrder: bits === 5, hasZeros: bits !== 6 }
    return { name: `pack-quantized, ${bits} bits`, shape: own, section: compressed(own), encode: encodePackQuantized }
  }),
  ...[24, 'channel' as const].map((groupSize): Layout => {
    const own = { ...shape, bits: 8, groupSize, cols: 117, rows: 29 }
    return {
      name: `int-quantized in groups of ${groupSize}`,
      shape: own,
      section: compressed(own),
      encode: encodeIntQuantized,
    }
  }),
]

/** Keeps what is packed as a grouped weight. */
function loaderOf(source: WeightView, packed: GroupedWeight[]): MethodLoader {
  const unexpected = (): never => expect.unreachable('only planes are packed')
  return {
    communicator: singleRank,
    dtype: 'auto',
    source,
    has: (name) => source.raw(name) !== null,
    canStack: unexpected,
    columnUnit: unexpected,
    matrix: unexpected,
    hostMatrix: unexpected,
    pack(spec, fill): PackedWeight {
      const { format, rows, cols } = spec
      if (!isGrouped(format)) return unexpected()
      // At an odd address, and with old bytes in it: neither is promised to be otherwise.
      const planes = new Uint8Array(weightBytes(spec) + 1).fill(0xa5).subarray(1)
      fill(planes)
      packed.push({ format, rows, cols, planes: planes.slice() })
      return { ...spec, sizeInBytes: planes.length, dispose() {}, readRow() {} }
    },
    own() {},
    loaded() {},
  }
}

function load(source: WeightView, section: Record<string, unknown>, selection: MatrixSelection): GroupedWeight {
  const packed: GroupedWeight[] = []
  const methods = createSchemeMethods(createQuantizationScheme({ file: 'config.json', method: null, json: section }))
  const method = methods('a', 'linear')
  const loader = loaderOf(source, packed)
  expect(method.canMerge(loader, selection.names)).toBe(true)
  method.load(loader, selection)
  return packed[0]!
}

describe.each(layouts)('$name', ({ shape: own, section, encode }) => {
  const [a, b] = [randomWeight(own, 1), randomWeight(own, 2)]
  const source = (): WeightView => new WeightView(new RawWeights({ a: encode(a), b: encode(b) }))
  const scheme = createQuantizationScheme({ file: 'config.json', method: null, json: section })

  it('is read as it was written', () => {
    expect(readGrouped(scheme.find(source(), 'a', 'linear')!)).toEqual(a)
  })

  it('is read by rows and columns of modules that stand under one another', () => {
    // With an order, each module has its own.
    const names = own.hasOrder ? ['a.weight'] : ['a.weight', 'b.weight']
    const values = own.hasOrder ? dequantize(a) : [...dequantize(a), ...dequantize(b)]
    const total = values.length
    const method = createSchemeMethods(scheme)('a', 'linear')
    const unit = method.columnUnit!(loaderOf(source(), []), 'a.weight')
    const rows = [
      { start: 3, end: 5 },
      { start: 11, end: total },
      { start: 0, end: 1 },
    ]
    for (const start of [0, unit].filter((at) => at < own.cols)) {
      const cols = { start, end: start === 0 && unit < own.cols ? unit : own.cols }
      if (own.hasOrder && cols.end - cols.start < own.cols / 2) continue
      const part = load(source(), section, { names, expectedShape: [total, own.cols], rows, cols })
      const expected = rows
        .flatMap((range) => values.slice(range.start, range.end))
        .map((row) => row.slice(cols.start, cols.end))
      expect(dequantize(part)).toEqual(expected)
    }
  })
})
