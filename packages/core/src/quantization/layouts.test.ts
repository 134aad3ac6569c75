import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { WeightView } from '../loading/weight-view.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { createGroupedReader, type GroupedWeight } from '../tensor/grouped-format.ts'
import { writeCodes } from './bit-stream.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { areAwqZerosMiddle, decodeAwqZeros, encodeAwq } from './awq-layout.ts'
import { areGptqZerosMiddle, decodeGptqZeros, encodeGptq } from './gptq-layout.ts'
import { readGrouped } from './load-grouped.ts'
import { arePackedZerosMiddle, decodePackedZeros, encodePackQuantized, streamWords } from './pack-quantized-layout.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import { intTensor, RawWeights } from './raw-weights.case.ts'

type Matrix = readonly (readonly number[])[]

/** Written by the code of AutoAWQ, GPTQModel and compressed-tensors (fixtures/README.md). */
interface Layouts {
  readonly K: number
  readonly N: number
  readonly group: number
  readonly scales_KgN: Matrix
  readonly W: Matrix
  readonly awq: { readonly qweight: Matrix; readonly qzeros: Matrix }
  readonly gptq: {
    readonly qweight: Matrix
    readonly qzeros_v1: Matrix
    readonly qzeros_v2: Matrix
    readonly g_idx: readonly number[]
  }
  readonly ct_asym: {
    readonly weight_packed: Matrix
    readonly weight_zero_point: Matrix
    readonly weight_scale_NKg: Matrix
    readonly weight_shape: readonly number[]
  }
}

const layouts: Layouts = JSON.parse(
  readFileSync(new URL('../../../../fixtures/quantized/layouts.json', import.meta.url), 'utf8'),
)
const { K, N, group, W } = layouts

function float16(suffix: string, values: Matrix): EncodedTensor {
  const flat = Float32Array.from(values.flat())
  const bytes = new Uint8Array(2 * flat.length)
  encodeRow('float16', flat, bytes, 0)
  return { suffix, dtype: 'float16', shape: [values.length, values[0]!.length], bytes }
}

function int64(suffix: string, values: readonly number[]): EncodedTensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
  return { suffix, dtype: 'int64', shape: [values.length], bytes }
}

function read(json: Record<string, unknown>, tensors: readonly EncodedTensor[]): GroupedWeight {
  const scheme = createQuantizationScheme({ file: 'config.json', method: null, json })
  const found = scheme.find(new WeightView(new RawWeights({ m: tensors })), 'm', 'linear')
  return readGrouped(found!)
}

/** `[K][N]`, as the fixture has it. */
function dequantize(weight: GroupedWeight): number[][] {
  const readRow = createGroupedReader(weight, weight.planes)
  const rows = Array.from({ length: weight.rows }, (_, row) => {
    const out = new Float32Array(weight.cols)
    readRow(row, out)
    return out
  })
  return Array.from({ length: weight.cols }, (_, k) => rows.map((row) => row[k]!))
}

describe('GPTQ', () => {
  const config = { quant_method: 'gptq', bits: 4, group_size: group, desc_act: false, sym: false }
  const { qweight, g_idx: gIdx } = layouts.gptq

  it.each([
    ['gptq', layouts.gptq.qzeros_v1],
    ['gptq_v2', layouts.gptq.qzeros_v2],
  ] as const)('reads and writes the bytes of %s', (version, qzeros) => {
    const tensors = [
      intTensor('qweight', qweight),
      intTensor('qzeros', qzeros),
      float16('scales', layouts.scales_KgN),
      intTensor('g_idx', gIdx),
    ]
    const weight = read({ ...config, checkpoint_format: version }, tensors)
    expect(weight).toMatchObject({ rows: N, cols: K, format: { bits: 4, groupSize: group, hasZeros: true } })
    expect(dequantize(weight)).toEqual(W)
    expect(encodeGptq(weight, version)).toEqual(tensors)
  })
})

describe('AWQ', () => {
  it('reads and writes the bytes of gemm', () => {
    const tensors = [
      intTensor('qweight', layouts.awq.qweight),
      intTensor('qzeros', layouts.awq.qzeros),
      float16('scales', layouts.scales_KgN),
    ]
    const weight = read({ quant_method: 'awq', bits: 4, group_size: group, zero_point: true, version: 'gemm' }, tensors)
    expect(weight).toMatchObject({ rows: N, cols: K, format: { bits: 4, groupSize: group, hasZeros: true } })
    expect(dequantize(weight)).toEqual(W)
    expect(encodeAwq(weight)).toEqual(tensors)
  })
})

describe('compressed-tensors', () => {
  it('reads and writes the bytes of pack-quantized', () => {
    const {
      weight_packed: packed,
      weight_zero_point: zeros,
      weight_scale_NKg: scales,
      weight_shape: shape,
    } = layouts.ct_asym
    const tensors = [
      intTensor('weight_packed', packed),
      float16('weight_scale', scales),
      int64('weight_shape', shape),
      intTensor('weight_zero_point', zeros),
    ]
    const weights = { num_bits: 4, type: 'int', symmetric: false, strategy: 'group', group_size: group }
    const groups = { group_0: { targets: ['Linear'], weights } }
    const weight = read(
      { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: groups },
      tensors,
    )
    expect(weight).toMatchObject({ rows: N, cols: K, format: { bits: 4, groupSize: group, hasZeros: true } })
    expect(dequantize(weight)).toEqual(W)
    expect(encodePackQuantized(weight)).toEqual(tensors)
  })
})

describe('zeros in the middle: whole words say the same as every code', () => {
  const groups = 2
  const areMiddle = (zeros: Uint8Array, bits: number): boolean => zeros.every((zero) => zero === 2 ** (bits - 1))
  const streamOf = (code: number, { bits, count }: { bits: number; count: number }): Uint32Array => {
    const words = new Uint32Array(Math.ceil((count * bits) / 32))
    writeCodes({ words, start: 0, step: 1, bits }, count, () => code)
    return words
  }
  /** Words of the middle, and each of their bits changed in turn: some of them mean nothing. */
  const eachChange = (words: Uint32Array, check: (changed: Uint32Array) => void): void => {
    check(words)
    for (let bit = 0; bit < 32 * words.length; bit++)
      check(words.map((word, i) => (i === bit >>> 5 ? word ^ (1 << (bit & 31)) : word)))
  }

  it.each([2, 3, 4, 8])('GPTQ, %i bits', (bits) => {
    for (const version of ['gptq', 'gptq_v2'] as const)
      for (const isGptqModel of [true, false])
        for (const count of [5, 32]) {
          const zeros = { bits, rows: count, groups, version, isGptqModel }
          const ones = streamOf(version === 'gptq' ? 1 : 0, { bits, count })
          const middle = streamOf(2 ** (bits - 1), { bits, count }).map((word, i) => word - ones[i]!)
          const words = Uint32Array.from([...middle, ...middle])
          // GPTQModel subtracts other words for 3 bits.
          if (bits !== 3 || !isGptqModel) expect(areGptqZerosMiddle(words, zeros)).toBe(true)
          eachChange(words, (changed) =>
            expect(areGptqZerosMiddle(changed, zeros)).toBe(areMiddle(decodeGptqZeros(changed, zeros), bits)),
          )
        }
  })

  it.each([2, 3, 4, 5, 8])('pack-quantized, %i bits', (bits) => {
    for (const isPadded of [false, true])
      for (const rows of [5, 33]) {
        const zeros = { bits, rows, groups, isPadded }
        const perWord = Math.floor(32 / bits)
        const column = isPadded
          ? Array.from(
              { length: streamWords(rows, bits, true) },
              () => streamOf(2 ** (bits - 1), { bits, count: perWord })[0]!,
            )
          : [...streamOf(2 ** (bits - 1), { bits, count: rows })]
        const words = Uint32Array.from(column.flatMap((word) => [word, word]))
        expect(arePackedZerosMiddle(words, zeros)).toBe(true)
        eachChange(words, (changed) =>
          expect(arePackedZerosMiddle(changed, zeros)).toBe(areMiddle(decodePackedZeros(changed, zeros), bits)),
        )
      }
  })

  it('AWQ', () => {
    eachChange(new Uint32Array(4).fill(0x8888_8888), (changed) =>
      expect(areAwqZerosMiddle(changed)).toBe(areMiddle(decodeAwqZeros(changed, { rows: 16, groups }), 4)),
    )
  })
})
