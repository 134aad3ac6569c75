import { describe, expect, it } from 'vitest'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { WeightView } from '../loading/weight-view.ts'
import { createGroupedReader } from '../tensor/grouped-format.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import type { GroupedTensors } from './grouped-tensors.ts'
import { readGrouped } from './load-grouped.ts'
import { RawWeights } from './raw-weights.case.ts'

type Json = Record<string, unknown>

function find(json: Json, tensors: readonly EncodedTensor[]): GroupedTensors | null {
  const scheme = createQuantizationScheme({ file: 'config.json', method: null, json })
  return scheme.find(new WeightView(new RawWeights({ m: tensors })), 'm', 'linear')
}

function rowsOf(found: GroupedTensors | null): number[][] {
  const weight = readGrouped(found!)
  const readRow = createGroupedReader(weight, weight.planes)
  return Array.from({ length: weight.rows }, (_, row) => {
    const out = new Float32Array(weight.cols)
    readRow(row, out)
    return [...out]
  })
}

function bytes(
  suffix: string,
  dtype: EncodedTensor['dtype'],
  shape: readonly number[],
  values: readonly number[] | number,
): EncodedTensor {
  const size = shape.reduce((product, dim) => product * dim, 1)
  const data = typeof values === 'number' ? new Uint8Array(size).fill(values) : Uint8Array.from(values)
  return { suffix, dtype, shape, bytes: data }
}

function floats(suffix: string, shape: readonly number[], values: readonly number[]): EncodedTensor {
  return { suffix, dtype: 'float32', shape, bytes: new Uint8Array(Float32Array.from(values).buffer) }
}

function state(type: string, json: Json): EncodedTensor {
  const text = new TextEncoder().encode(JSON.stringify(json))
  return bytes(`weight.quant_state.bitsandbytes__${type}`, 'uint8', [text.length], [...text])
}

const fp8 = { quant_method: 'fp8' }
const bnb = { quant_method: 'bitsandbytes', load_in_4bit: true }
const ct = (weights: Json): Json => ({
  quant_method: 'compressed-tensors',
  config_groups: { g: { targets: ['Linear'], weights: { type: 'float', ...weights } } },
})
const nvfp4 = ct({ num_bits: 4, strategy: 'tensor_group', group_size: 16 })
const one = 0x38 // of e4m3
const packed = bytes('weight_packed', 'uint8', [2, 8], 0x21)
const table = floats('weight.quant_map', [16], [...Array(16).keys()])

describe('values', () => {
  it('of FP8 are codes times scales, whatever "inv" says', () => {
    const weight = bytes('weight', 'float8_e4m3', [2, 2], [one, 0x40, 0xb8, 0x30])
    const scales = floats('weight_scale_inv', [2, 1], [3, 0.5])
    expect(rowsOf(find(fp8, [weight, scales]))).toEqual([
      [3, 6],
      [-0.5, 0.25],
    ])
  })

  it("of NVFP4 are divided by compressed-tensors' scale of all, and multiplied with ModelOpt's", () => {
    const scale = bytes('weight_scale', 'float8_e4m3', [2, 1], [one, 0x40])
    const expected = (factor: number): number[][] =>
      [1, 2].map((group) => Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? 0.5 : 1) * group * factor))
    const ofCompressed = find(nvfp4, [packed, scale, floats('weight_global_scale', [1], [4])])
    expect(rowsOf(ofCompressed)).toEqual(expected(0.25))
    const weight = { ...packed, suffix: 'weight' }
    const ofModelOpt = find({ quant_algo: 'NVFP4' }, [weight, scale, floats('weight_scale_2', [], [4])])
    expect(rowsOf(ofModelOpt)).toEqual(expected(4))
  })

  it('of bitsandbytes run on from row to row, the first in the high half', () => {
    const weight = bytes('weight', 'uint8', [6, 1], [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc])
    const shape = [2, 6]
    const absmax = floats('weight.absmax', [3], [1, 10, 100])
    const found = find(bnb, [weight, table, absmax, state('nf4', { blocksize: 4, shape })])
    expect(found!.format).toMatchObject({ groupSize: 2, codebook: [...Array(16).keys()] })
    expect(rowsOf(found)).toEqual([
      [1, 2, 3, 4, 50, 60],
      [70, 80, 900, 1000, 1100, 1200],
    ])
  })

  it('of bitsandbytes have scales that are quantized themselves', () => {
    const weight = bytes('weight', 'uint8', [4, 1], 0x11)
    const map = floats('weight.nested_quant_map', [256], [...Array(256).keys()])
    const nested = { nested_blocksize: 2, nested_offset: 0.5, blocksize: 2, shape: [2, 4] }
    const tensors = [bytes('weight.absmax', 'uint8', [4], [1, 2, 3, 4]), floats('weight.nested_absmax', [2], [10, 100])]
    const found = find(bnb, [weight, table, map, ...tensors, state('fp4', nested)])
    expect(rowsOf(found)).toEqual([
      [10.5, 10.5, 20.5, 20.5],
      [300.5, 300.5, 400.5, 400.5],
    ])
  })

  it("of LLM.int8() are codes times a 127th of their row's largest", () => {
    const weight = bytes('weight', 'int8', [2, 2], [127, 1, 0x81, 0])
    expect(rowsOf(find(bnb, [weight, floats('SCB', [2], [127, 254])]))).toEqual([
      [127, 1],
      [-254, 0],
    ])
  })

  it('of modules that are not converted are as stored', () => {
    const plain: EncodedTensor = { suffix: 'weight', dtype: 'bfloat16', shape: [2, 2], bytes: new Uint8Array(8) }
    for (const json of [fp8, bnb, { quant_method: 'mxfp4' }, { quant_algo: 'FP8' }, nvfp4])
      expect(find(json, [plain])).toBe(null)
  })
})

describe('files that are wrong', () => {
  const weight = bytes('weight', 'float8_e4m3', [4, 6], one)
  const blocks = bytes('blocks', 'uint8', [2, 3, 16], 0)
  const scale = bytes('weight_scale', 'float8_e4m3', [2, 1], one)
  const nf4 = bytes('weight', 'uint8', [8, 1], 0)

  it.each<[Json, readonly EncodedTensor[], RegExp]>([
    [fp8, [weight], /"m\.weight": is float8_e4m3 and has no scale; looked for m\.weight_scale_inv/],
    [
      fp8,
      [weight, floats('weight_scale', [3], [1, 1, 1])],
      /"m\.weight_scale": expected shape .*\[4, 1\].*found \[3\]/,
    ],
    [fp8, [weight, bytes('weight_scale', 'int8', [], 0)], /"m\.weight_scale": expected scales in float16/],
    [fp8, [bytes('weight', 'float8_e4m3', [24], 0), floats('weight_scale', [], [1])], /expected a matrix/],
    [{ ...fp8, weight_block_size: [128] }, [weight], /"weight_block_size/],
    [{ ...fp8, weight_block_size: [0, 128] }, [weight], /"weight_block_size/],
    [{ ...fp8, activation_scheme: 'block' }, [weight], /"activation_scheme"/],
    [
      ct({ num_bits: 8, strategy: 'tensor', type: 'int' }),
      [weight],
      /"m\.weight": is float8_e4m3, and its config says int8/,
    ],
    [
      ct({ num_bits: 8, strategy: 'channel' }),
      [weight, floats('weight_scale', [1], [1])],
      /"m\.weight_scale": expected shape \[4, 1\] or \[4\], as the config says strategy "channel", found \[1\]/,
    ],
    [nvfp4, [packed], /"m\.weight_scale": missing/],
    [nvfp4, [packed, scale], /"m\.weight_global_scale": missing/],
    [nvfp4, [packed, scale, floats('weight_global_scale', [1], [0])], /"m\.weight_global_scale": expected a positive/],
    [nvfp4, [packed, scale, floats('weight_global_scale', [1], [NaN])], /expected a positive number, found NaN/],
    [nvfp4, [packed, scale, floats('weight_global_scale', [2], [1, 1])], /expected shape \[1\], found \[2\]/],
    [
      nvfp4,
      [packed, bytes('weight_scale', 'float8_e4m3', [2, 2], 0), floats('weight_global_scale', [1], [1])],
      /"m\.weight_scale": expected shape \[2, 1\], found \[2, 2\]/,
    ],
    [{ quant_algo: 'NVFP4' }, [{ ...packed, suffix: 'weight' }], /"m\.weight": is packed and has no scale/],
    [{ quant_algo: 'NVFP4' }, [{ ...packed, suffix: 'weight' }, scale], /"m\.weight_scale_2": missing/],
    [{ quant_method: 'mxfp4' }, [blocks], /"m\.scales": missing/],
    [{ quant_method: 'mxfp4' }, [blocks, bytes('scales', 'uint8', [2, 2], 0)], /expected shape \[2, 3\]/],
    [{ quant_method: 'mxfp4' }, [bytes('blocks', 'uint8', [2, 48], 0)], /expected rows of blocks of 16 bytes/],
    [{ quant_method: 'mxfp4' }, [bytes('blocks', 'int8', [2, 3, 16], 0)], /expected uint8, found int8/],
    [bnb, [nf4, state('nf4', { blocksize: 64 })], /bitsandbytes__nf4": its JSON is not as expected: "shape"/],
    [bnb, [nf4, bytes('weight.quant_state.bitsandbytes__fp4', 'uint8', [2], 0x7b)], /its JSON is not as expected/],
    [bnb, [nf4, state('nf4', { blocksize: 64, shape: [4, 6] })], /expected 12 bytes for shape \[4, 6\], found 8/],
    [bnb, [nf4, state('nf4', { blocksize: 64, shape: [4, 4] })], /"m\.weight\.absmax": missing/],
    [
      bnb,
      [nf4, floats('weight.absmax', [2], [1, 1]), state('nf4', { blocksize: 64, shape: [4, 4] })],
      /"m\.weight\.absmax": expected shape \[1\], found \[2\]/,
    ],
    [
      bnb,
      [
        nf4,
        floats('weight.absmax', [1], [1]),
        floats('weight.quant_map', [16], Array(16).fill(Infinity)),
        state('nf4', { blocksize: 64, shape: [4, 4] }),
      ],
      /"m\.weight\.quant_map": holds Infinity/,
    ],
    [bnb, [bytes('weight', 'int8', [2, 2], 0), floats('SCB', [1], [1])], /"m\.SCB": expected shape \[2\]/],
  ])('are refused with the name of the tensor: %#', (json, tensors, message) => {
    const read = (): unknown => find(json, tensors)
    expect(read).toThrow(CheckpointError)
    expect(read).toThrow(message)
  })

  it('are refused as their scales are read', () => {
    const scales = bytes('scales', 'uint8', [2, 3], [1, 2, 3, 4, 255, 6])
    const found = find({ quant_method: 'mxfp4' }, [blocks, scales])
    expect(() => readGrouped(found!)).toThrow(CheckpointError)
    expect(() => readGrouped(found!)).toThrow(/"m\.scales": row 1 has a scale stored as 255, which is no finite number/)
    const nan = bytes('weight_scale', 'float8_e4m3', [2, 1], 0x7f)
    const global = floats('weight_global_scale', [1], [1])
    expect(() => readGrouped(find(nvfp4, [packed, nan, global])!)).toThrow(/row 0 has a scale stored as 127/)
  })

  it.each<[Json, readonly EncodedTensor[], RegExp]>([
    [
      { quant_algo: 'NVFP4_AWQ' },
      [weight, floats('weight_scale', [], [1]), floats('pre_quant_scale', [6], Array(6).fill(1))],
      /inputs are scaled as the model runs \("m\.pre_quant_scale"\)/,
    ],
    [
      { quantization: { quant_algo: 'W4A16_AWQ' }, quant_method: 'modelopt' },
      [{ ...packed, suffix: 'weight' }, floats('weight_scale', [2, 1], [1, 1])],
      /ModelOpt's packed integers \("W4A16_AWQ", m\.weight\)/,
    ],
    [{ quant_algo: 'INT8_SQ' }, [bytes('weight', 'int8', [2, 2], 0)], /ModelOpt's weights in int8 \("INT8_SQ"/],
    [bnb, [nf4, state('nf4', { blocksize: 64, shape: [16, 1] })], /has 1 columns; only an even number/],
    [
      bnb,
      [bytes('weight', 'int8', [2, 2], 0), floats('SCB', [2], [1, 1]), bytes('weight_format', 'uint8', [], 2)],
      /m\.weight_format says that the weight's elements lie in tiles/,
    ],
  ])('are refused where there is no reader: %#', (json, tensors, message) => {
    const read = (): unknown => find(json, tensors)
    expect(read).toThrow(UnsupportedModelError)
    expect(read).toThrow(message)
  })
})
