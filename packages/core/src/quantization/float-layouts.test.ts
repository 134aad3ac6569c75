import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { randomValues } from '../layers/memory-weights.case.ts'
import { findQuantization } from '../loading/quantization-section.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import { WeightView } from '../loading/weight-view.ts'
import { type GoldenFiles, readJson } from '../models/golden-models.case.ts'
import { encodeRow } from '../tensor/dequantize.ts'
import { weightFormats } from '../tensor/dtype.ts'
import {
  codeValues,
  createGroupedReader,
  groupedFormat,
  numGroups,
  planesOf,
  type GroupedFormat,
  type GroupedWeight,
} from '../tensor/grouped-format.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { encodeMxfp4, encodeMxfp4Experts, encodeNvfp4, mxfp4Mismatch, nvfp4Mismatch } from './float4-layout.ts'
import { readScalars } from './float4-tensors.ts'
import { float8Codebook } from './float8-codes.ts'
import { encodeFloat8, float8Mismatch, type Float8Layout } from './float8-layout.ts'
import type { GroupedTensors } from './grouped-tensors.ts'
import { readGrouped } from './load-grouped.ts'
import { RawWeights } from './raw-weights.case.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/quantized-floats/', import.meta.url))

const folders = readJson<GoldenFiles>(`${fixtures}golden.json`).files.map(({ file }) => file)

type Encode = (weight: GroupedWeight, view: WeightView, module: string) => EncodedTensor[]

const float8 =
  (layout: Float8Layout): Encode =>
  (weight) =>
    encodeFloat8(weight, layout)

/** The global scale is the file's: others give the same weights. */
const nvfp4 =
  (dialect: 'compressed-tensors' | 'modelopt', name: string): Encode =>
  (weight, view, module) =>
    encodeNvfp4(weight, { dialect, globalScale: readScalars(view.raw(`${module}.${name}`)!, 1)[0]! })

const files: readonly (readonly [folder: string, encode: Encode])[] = [
  ['fp8-tensor', float8({ scaleName: 'weight_scale', sharedRows: 'all' })],
  ['fp8-channel', float8({ scaleName: 'weight_scale', sharedRows: 1 })],
  ['fp8-blocks', float8({ scaleName: 'weight_scale_inv', sharedRows: 128 })],
  ['fp8-blocks-experts', float8({ scaleName: 'weight_scale_inv', sharedRows: 32 })],
  ['ct-fp8-tensor', float8({ scaleName: 'weight_scale', sharedRows: 'all' })],
  ['ct-fp8-blocks', float8({ scaleName: 'weight_scale', sharedRows: 48 })],
  ['ct-mxfp4', encodeMxfp4],
  ['ct-nvfp4', nvfp4('compressed-tensors', 'weight_global_scale')],
  ['modelopt-nvfp4', nvfp4('modelopt', 'weight_scale_2')],
]

/** Calls back with all modules of a checkpoint whose weights are quantized. */
function eachModule(
  folder: string,
  see: (weight: GroupedWeight, view: WeightView, module: string, found: GroupedTensors) => void,
): number {
  const path = `${fixtures}${folder}`
  const source = openSafetensors(path)
  const view = new WeightView(source)
  const section = findQuantization(path, JSON.parse(readFileSync(`${path}/config.json`, 'utf8')))!
  const scheme = createQuantizationScheme(section)
  let count = 0
  for (const module of new Set(view.names().map((name) => name.slice(0, name.lastIndexOf('.'))))) {
    const found = scheme.find(view, module, 'linear')
    if (found === null) continue
    see(readGrouped(found), view, module, found)
    count++
  }
  source.close()
  return count
}

/** Rows and columns of a plane, at odd places, are those of the whole. */
function expectRegions({ codes, scales, codeUnit }: GroupedTensors, weight: GroupedWeight): void {
  const { format, rows, cols, planes } = weight
  const layout = planesOf(weight)
  const groups = numGroups(format, cols)
  for (const [reader, plane, bits, width, unit] of [
    [codes, layout.codes, format.bits, cols, codeUnit],
    [scales, layout.scales, 8 * weightFormats[format.scaleDtype].blockBytes, groups, 1],
  ] as const) {
    const start = Math.min(unit * Math.floor(width / unit / 3), width - 1)
    for (const range of [
      { start: 0, end: 1 },
      { start: Math.floor(rows / 3), end: rows - 1 },
    ]) {
      const [first, numBytes] = [(start * bits) / 8, ((width - start) * bits) / 8]
      const stride = 4 * Math.ceil(numBytes / 4) + 4
      const bytes = new Uint8Array((range.end - range.start) * stride)
      reader.read({ rows: range, cols: { start, end: width } }, { bytes, stride })
      for (let row = range.start; row < range.end; row++) {
        const at = plane.offset + row * plane.stride + first
        const actual = bytes.subarray((row - range.start) * stride).subarray(0, numBytes)
        expect(actual).toEqual(planes.subarray(at, at + numBytes))
      }
    }
  }
}

function bytesOf(view: WeightView, name: string): Uint8Array {
  const tensor = view.raw(name)!
  const bytes = new Uint8Array(tensor.sizeInBytes)
  tensor.read(bytes)
  return bytes
}

describe('files written by torch', () => {
  it.each(files)('%s has the bytes that are encoded from what was read', (folder, encode) => {
    const numModules = eachModule(folder, (weight, view, module) => {
      for (const { suffix, dtype, shape, bytes } of encode(weight, view, module)) {
        const name = `${module}.${suffix}`
        const stored = view.raw(name)!
        expect(stored.dtype).toBe(dtype)
        // A scale of all may be a scalar or a vector of one.
        if (bytes.length > 4) expect(stored.shape).toEqual(shape)
        expect(bytesOf(view, name)).toEqual(bytes)
      }
    })
    expect(numModules).toBeGreaterThanOrEqual(8)
  })

  it.each(folders)('%s is read by rows and columns', (folder) => {
    const numModules = eachModule(folder, (weight, _, __, found) => expectRegions(found, weight))
    expect(numModules).toBeGreaterThanOrEqual(8)
  })

  it("gpt-oss's experts have the bytes that are encoded from what was read", () => {
    const stacks = new Map<string, GroupedWeight[]>()
    eachModule('gpt-oss-mxfp4', (weight, _, module) => {
      const stack = module.replace(/\.\d+\.(\w+)$/, '.$1')
      stacks.set(stack, [...(stacks.get(stack) ?? []), weight])
    })
    expect(stacks.size).toBe(4)
    const source = openSafetensors(`${fixtures}gpt-oss-mxfp4`)
    for (const [stack, experts] of stacks) {
      expect(experts.length).toBe(4)
      for (const { suffix, shape, bytes } of encodeMxfp4Experts(experts)) {
        const stored = source.raw(`${stack}_${suffix}`)!
        expect(stored.shape).toEqual(shape)
        const actual = new Uint8Array(stored.sizeInBytes)
        stored.read(actual)
        expect(actual).toEqual(bytes)
      }
    }
    source.close()
  })

  it.each(['ct-nvfp4', 'modelopt-nvfp4'])('a global scale of %s is found again', (folder) => {
    const dialect = folder === 'ct-nvfp4' ? 'compressed-tensors' : 'modelopt'
    const name = folder === 'ct-nvfp4' ? 'weight_global_scale' : 'weight_scale_2'
    eachModule(folder, (weight, view, module) => {
      const encoded = encodeNvfp4(weight, { dialect })
      const [, codes, global] = encoded
      expect(codes!.bytes).toEqual(bytesOf(view, `${module}.weight_scale`))
      const known = readScalars(view.raw(`${module}.${name}`)!, 1)[0]!
      expect(new Float32Array(global!.bytes.buffer)[0]! / known).toBeCloseTo(1, 5)
      const again = new WeightView(new RawWeights({ m: encoded }))
      expect(readGrouped(schemeOf(dialect).find(again, 'm', 'linear')!)).toEqual(weight)
    })
  })
})

function schemeOf(dialect: string): ReturnType<typeof createQuantizationScheme> {
  const weights = { num_bits: 4, type: 'float', strategy: 'tensor_group', group_size: 16 }
  const json =
    dialect === 'modelopt'
      ? { quant_algo: 'NVFP4' }
      : { quant_method: 'compressed-tensors', config_groups: { g: { targets: ['Linear'], weights } } }
  return createQuantizationScheme({ file: 'config.json', method: null, json })
}

interface Random extends Partial<GroupedFormat> {
  readonly rows: number
  readonly cols: number
  /** Rows that share scales. */
  readonly height?: number
  readonly scale?: (random: number) => number
}

function randomWeight({ rows, cols, height = 1, scale = (random) => random, ...rest }: Random): GroupedWeight {
  const format = groupedFormat({ bits: 8, codebook: 'e4m3', groupSize: 'channel', scaleDtype: 'float32', ...rest })
  const spec = { format, rows, cols }
  const { codes, scales, sizeInBytes } = planesOf(spec)
  const planes = new Uint8Array(sizeInBytes)
  const rowBytes = (cols * format.bits) / 8
  for (let row = 0; row < rows; row++)
    planes.set(
      randomValues(rowBytes, row + 1).map((value) => Math.floor((value + 1) * 63)),
      row * codes.stride,
    )
  const groups = numGroups(format, cols)
  for (let row = 0; row < rows; row++) {
    const values = randomValues(groups, 1000 + Math.floor(row / height)).map((value) => scale(Math.abs(value) + 0.1))
    encodeRow(format.scaleDtype, values, planes, scales.offset + row * scales.stride)
  }
  return { ...spec, planes }
}

const power = (random: number): number => 2 ** Math.round(random * 40 - 20)

describe('weights', () => {
  it.each<[string, Record<string, unknown>, Random, Float8Layout]>([
    [
      'fp8 per tensor',
      { quant_method: 'fp8' },
      { rows: 5, cols: 7, height: 5 },
      { scaleName: 'weight_scale', sharedRows: 'all' },
    ],
    [
      'fp8 per tensor, as transformers has it',
      { quant_method: 'fp8' },
      { rows: 5, cols: 7, height: 5 },
      { scaleName: 'weight_scale_inv', sharedRows: 'all' },
    ],
    [
      'fp8 per channel',
      { quant_method: 'fp8' },
      { rows: 29, cols: 13, scaleDtype: 'bfloat16' },
      { scaleName: 'weight_scale', sharedRows: 1 },
    ],
    [
      "DeepSeek's blocks, ragged both ways",
      { quant_method: 'fp8', weight_block_size: [128, 128] },
      { rows: 300, cols: 205, height: 128, groupSize: 128 },
      { scaleName: 'weight_scale_inv', sharedRows: 128 },
    ],
    [
      'blocks of a size that nothing says',
      { quant_method: 'fp8' },
      { rows: 129, cols: 129, height: 128, groupSize: 128 },
      { scaleName: 'weight_scale_inv', sharedRows: 128 },
    ],
  ])('%s: read as they were written', (_, json, random, layout) => {
    const weight = randomWeight(random)
    expect(float8Mismatch(weight, layout)).toBe(null)
    const source = new WeightView(new RawWeights({ m: encodeFloat8(weight, layout) }))
    const scheme = createQuantizationScheme({ file: 'config.json', method: null, json })
    const found = scheme.find(source, 'm', 'linear')!
    expect(readGrouped(found)).toEqual(weight)
    expectRegions(found, weight)
  })

  it('MXFP4: all powers of two, read as they were written', () => {
    const weight = randomWeight({
      rows: 40,
      cols: 96,
      bits: 4,
      codebook: 'e2m1',
      groupSize: 32,
      scaleDtype: 'bfloat16',
      scale: power,
    })
    const { scales } = planesOf(weight)
    encodeRow('bfloat16', Float32Array.of(2 ** -127, 2 ** 127, 1), weight.planes, scales.offset)
    expect(mxfp4Mismatch(weight)).toBe(null)
    const source = new WeightView(new RawWeights({ m: encodeMxfp4(weight) }))
    const weights = { num_bits: 4, type: 'float', strategy: 'group', group_size: 32 }
    const json = { quant_method: 'compressed-tensors', config_groups: { g: { targets: ['Linear'], weights } } }
    const scheme = createQuantizationScheme({ file: 'config.json', method: null, json })
    expect(readGrouped(scheme.find(source, 'm', 'linear')!)).toEqual(weight)
    const row = new Float32Array(96)
    createGroupedReader(weight, weight.planes)(0, row)
    expect(row[0]).toBe(codeValues(weight.format)[weight.planes[0]! & 15]! * 2 ** -127)
  })

  it('are refused where a layout would change them', () => {
    const weight = randomWeight({ rows: 4, cols: 64, groupSize: 16, bits: 4, codebook: 'e2m1' })
    expect(() => encodeNvfp4(weight, { dialect: 'modelopt' })).toThrow(/no e4m3 values times one number, as NVFP4/)
    expect(() => encodeNvfp4(weight, { dialect: 'compressed-tensors', globalScale: 3 })).toThrow(
      /divided by one number/,
    )
    const mx = randomWeight({ rows: 4, cols: 64, groupSize: 32, bits: 4, codebook: 'e2m1' })
    expect(() => encodeMxfp4(mx)).toThrow(/row 0 has the scale 0\.\d+; MXFP4's are powers of two/)
    expect(mxfp4Mismatch(weight)).toBe('MXFP4 has groups of 32 columns, not 16')
    expect(nvfp4Mismatch({ ...weight, cols: 40 })).toMatch(/whole groups, and 40 are no multiple of 16/)
    expect(nvfp4Mismatch(randomWeight({ rows: 1, cols: 16 }))).toBe('NVFP4 holds e2m1 codes')
    const rows = randomWeight({ rows: 4, cols: 8 })
    expect(() => encodeFloat8(rows, { scaleName: 'weight_scale', sharedRows: 'all' })).toThrow(
      /rows 0 and 1 have different scales, and the layout has one for 4 rows/,
    )
    const groups = randomWeight({ rows: 1, cols: 8, groupSize: 4 })
    expect(float8Mismatch(groups, { scaleName: 'weight_scale', sharedRows: 'all' })).toMatch(/leaves no groups/)
  })
})

// torch 2.13: torch.arange(256, dtype=torch.uint8).view(dtype).float()
it.each([
  [
    'float8_e5m2',
    { 1: 2 ** -16, 4: 2 ** -14, 60: 1, 123: 57344, 124: Infinity, 125: NaN, 129: -(2 ** -16), 252: -Infinity },
  ],
  ['float8_e4m3fnuz', { 0: 0, 1: 2 ** -10, 8: 2 ** -7, 64: 1, 127: 240, 128: NaN, 129: -(2 ** -10), 255: -240 }],
  ['float8_e5m2fnuz', { 0: 0, 1: 2 ** -17, 4: 2 ** -15, 64: 1, 127: 57344, 128: NaN, 192: -1, 255: -57344 }],
] as const)('%s', (dtype, expected) => {
  const table = float8Codebook(dtype)
  for (const [code, value] of Object.entries(expected)) expect(table[Number(code)]).toBe(value)
})
