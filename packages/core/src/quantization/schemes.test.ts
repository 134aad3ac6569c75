import { describe, expect, it } from 'vitest'
import { CheckpointError, UnsupportedModelError } from '../errors.ts'
import { WeightView } from '../loading/weight-view.ts'
import {
  createGroupedReader,
  groupedFormat,
  planesOf,
  type GroupedFormat,
  type GroupedWeight,
} from '../tensor/grouped-format.ts'
import { encodeAwq } from './awq-layout.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { encodeGptq } from './gptq-layout.ts'
import type { GroupedTensors } from './grouped-tensors.ts'
import { encodeIntQuantized } from './int-quantized-layout.ts'
import { readGrouped } from './load-grouped.ts'
import { encodePackQuantized } from './pack-quantized-layout.ts'
import { intTensor, RawWeights } from './raw-weights.case.ts'

type Json = Record<string, unknown>

function find(json: Json, tensors: readonly EncodedTensor[], module = 'm'): GroupedTensors | null {
  const scheme = createQuantizationScheme({ file: 'config.json', method: null, json })
  return scheme.find(new WeightView(new RawWeights({ [module]: tensors })), module, 'linear')
}

/** Codes and scales of zeros, or of other bytes, `[32, 64]`. */
function weightOf(format: Partial<GroupedFormat>, fill = 0): GroupedWeight {
  const whole = groupedFormat({ bits: 4, groupSize: 32, scaleDtype: 'float16', ...format })
  const spec = { format: whole, rows: 32, cols: 64 }
  return { ...spec, planes: new Uint8Array(planesOf(spec).sizeInBytes).fill(fill) }
}

function ctConfig(weights: Json, rest: Json = {}): Json {
  const args = { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 32, ...weights }
  const group = { targets: ['Linear'], weights: args }
  return { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: { group_0: group }, ...rest }
}

const gptqConfig = { quant_method: 'gptq', bits: 4, group_size: 32, desc_act: false, sym: false }
const awqConfig = { quant_method: 'awq', bits: 4, group_size: 32, zero_point: true, version: 'gemm' }

describe('createQuantizationScheme', () => {
  it.each([
    'quark',
    'torchao',
    'hqq',
    'eetq',
    'aqlm',
    'gptq_marlin_24',
    'marlin',
    'bitblas',
    'vptq',
    'spqr',
    '__proto__',
  ])('refuses %s by name', (method) => {
    const create = (): unknown => find({ quant_method: method }, [])
    expect(create).toThrow(UnsupportedModelError)
    expect(create).toThrow(
      `config.json: the weights are quantized with "${method}", which can't be read; those that can`,
    )
  })

  it.each<[Json, RegExp]>([
    [{ ...awqConfig, version: 'gemv' }, /AWQ weights in the version "gemv"/],
    [{ ...awqConfig, version: 'marlin' }, /"marlin" can't be read; only gemm can/],
    [{ ...awqConfig, bits: 8 }, /AWQ weights of 8 bits/],
    [{ ...gptqConfig, checkpoint_format: 'marlin' }, /GPTQ weights in the format "marlin"/],
    [{ ...gptqConfig, bits: 5 }, /GPTQ weights of 5 bits can't be read; only those of 2, 3, 4, 8 can/],
    [{ ...gptqConfig, dynamic: { '+:.*down': { bits: 6 } } }, /GPTQ weights of 6 bits/],
    [{ ...gptqConfig, pack_dtype: 'int64' }, /packed in int64/],
    [ctConfig({}, { sparsity_config: { format: 'sparse-24-bitmask' } }), /stored sparse \("sparse-24-bitmask"\)/],
    [ctConfig({}, { format: 'marlin-24' }), /in the format "marlin-24"/],
    [ctConfig({}, { transform_config: { config_groups: { u: { type: 'hadamard' } } } }), /"transform_config"/],
    [ctConfig({ strategy: 'token' }), /the strategy "token" \("group_0"\)/],
  ])('refuses what it has no reader for: %j', (json, message) => {
    expect(() => find(json, [])).toThrow(UnsupportedModelError)
    expect(() => find(json, [])).toThrow(message)
  })

  it.each<[Json, RegExp]>([
    [{}, /no "quant_method"/],
    [{ quant_method: 7 }, /no "quant_method"/],
    [{ quant_method: 'gptq', group_size: 32 }, /quantization_config's "bits": is missing/],
    [{ ...gptqConfig, group_size: 0 }, /"group_size".*found 0/],
    [{ ...gptqConfig, group_size: 1e9 }, /"group_size".*found 1000000000/],
    [{ ...gptqConfig, sym: 'yes' }, /"sym".*found "yes"/],
    [{ ...gptqConfig, dynamic: { '+:(': { bits: 8 } } }, /the pattern "\(".*ends in the middle|does not end/],
    [{ quant_method: 'awq', bits: 4 }, /"group_size" is missing/],
    [{ quant_method: 'compressed-tensors' }, /"config_groups": is missing/],
    [ctConfig({ num_bits: 'four' }), /"config_groups.group_0.weights.num_bits".*found "four"/],
    [ctConfig({ group_size: null }), /"group_0" has groups without a "group_size"/],
    [ctConfig({ strategy: 'block' }), /"group_0" has blocks without a "block_structure"/],
    [ctConfig({ strategy: 'block', block_structure: [0, 128] }), /block_structure/],
  ])('names what is wrong with %j', (json, message) => {
    expect(() => find(json, [])).toThrow(CheckpointError)
    expect(() => find(json, [])).toThrow(message)
  })

  it('knows sections that name no method by what they have', () => {
    const { quant_method: _, ...section } = ctConfig({})
    expect(find(section, encodePackQuantized(weightOf({})))?.format.bits).toBe(4)
    const bitsAndBytes = { file: 'config.json', method: null, json: { load_in_4bit: true } }
    expect(createQuantizationScheme(bitsAndBytes).name).toBe('bitsandbytes')
  })
})

const layouts: readonly (readonly [name: string, json: Json, tensors: EncodedTensor[], required: readonly string[]])[] =
  [
    ['gptq', gptqConfig, encodeGptq(weightOf({ hasZeros: true, hasOrder: true }), 'gptq'), ['scales', 'qzeros']],
    ['awq', awqConfig, encodeAwq(weightOf({ hasZeros: true })), ['scales', 'qzeros']],
    [
      'pack-quantized',
      ctConfig({}),
      encodePackQuantized(weightOf({ hasZeros: true, hasOrder: true })),
      ['weight_scale'],
    ],
    [
      'int-quantized',
      ctConfig({ num_bits: 8 }),
      encodeIntQuantized(weightOf({ bits: 8, hasZeros: true })),
      ['weight_scale'],
    ],
  ]

describe.each(layouts)('hostile tensors of %s', (_, json, tensors, required) => {
  const changed = (suffix: string, change: Partial<EncodedTensor>): EncodedTensor[] =>
    tensors.map((tensor) => (tensor.suffix === suffix ? { ...tensor, ...change } : tensor))
  const expectNamed = (suffix: string, altered: readonly EncodedTensor[]): void => {
    expect(() => find(json, altered), suffix).toThrow(CheckpointError)
    expect(() => find(json, altered), suffix).toThrow(`m.${suffix}"`)
  }

  it('are what they are named when they are missing', () => {
    for (const suffix of required)
      expectNamed(
        suffix,
        tensors.filter((tensor) => tensor.suffix !== suffix),
      )
  })

  it('must have the dtype of the layout', () => {
    for (const { suffix } of tensors) {
      // A weight in floats is an unquantized one.
      if (suffix !== 'weight') expectNamed(suffix, changed(suffix, { dtype: 'uint16' }))
    }
  })

  it('must have shapes that agree', () => {
    for (const { suffix, shape } of tensors) {
      for (const wrong of [[...shape, 1], [...shape.slice(1), shape[0]! + 1], [], [2 ** 40, ...shape.slice(1)]]) {
        if (wrong.join() === shape.join()) continue
        const altered = changed(suffix, { shape: wrong })
        // The first tensor says what the others must have, so that one of these may be named.
        if (suffix === tensors[0]!.suffix) expect(() => find(json, altered), `${suffix} ${wrong}`).toThrow(/m\.\w+"/)
        else expectNamed(suffix, altered)
      }
    }
  })

  it('are not read beyond their groups', () => {
    const order = tensors.find(({ dtype, shape }) => dtype === 'int32' && shape.length === 1)
    if (order === undefined) return
    for (const group of [2, -2, 2 ** 31 - 1]) {
      const groups = Array<number>(64).fill(0).with(17, group)
      expectNamed(order.suffix, changed(order.suffix, intTensor(order.suffix, groups)))
      expect(() => find(json, changed(order.suffix, intTensor(order.suffix, groups)))).toThrow(
        `column 17 is in group ${group}, and there are 2 groups`,
      )
    }
  })
})

describe('GPTQ', () => {
  it('takes symmetric zeros from any writer, and no others under the name of symmetric', () => {
    const symmetric = { ...gptqConfig, sym: true }
    for (const version of ['gptq', 'gptq_v2'] as const) {
      for (const stated of ['gptq', 'gptq_v2']) {
        const tensors = encodeGptq(weightOf({}), version)
        expect(find({ ...symmetric, checkpoint_format: stated }, tensors)?.format.hasZeros).toBe(false)
      }
    }
    const without = encodeGptq(weightOf({}), 'gptq').filter(({ suffix }) => suffix !== 'qzeros')
    expect(find(symmetric, without)?.format.hasZeros).toBe(false)
    const asymmetric = encodeGptq(weightOf({ hasZeros: true }), 'gptq')
    expect(() => find(symmetric, asymmetric)).toThrow(/m.qzeros": holds zeros other than 8 though .* \("sym": true\)/)
  })

  it('reads zeros of 3 bits as GPTQModel subtracts from them', () => {
    const weight = weightOf({ bits: 3, hasZeros: true }, 0x07)
    const v2 = encodeGptq(weight, 'gptq_v2')
    const words = [0x24924924, 0x92492492, 0x49249249]
    const qzeros = v2.find(({ suffix }) => suffix === 'qzeros')!
    const stored = new Uint32Array(qzeros.bytes.slice().buffer).map((word, i) => word - words[i % 3]!)
    const v1 = v2.map((tensor) => (tensor === qzeros ? { ...tensor, bytes: new Uint8Array(stored.buffer) } : tensor))
    const found = find({ ...gptqConfig, bits: 3, meta: { quantizer: ['gptqmodel:4.2.5'] } }, v1)
    expect(readGrouped(found!)).toEqual(weight)
    expect(readGrouped(find({ ...gptqConfig, bits: 3 }, v1)!)).not.toEqual(weight)
  })

  it('has bits and groups of its own for some modules', () => {
    const dynamic = {
      '-:.*gate': {},
      '+:.*\\.down_proj': { bits: 8, group_size: -1 },
      '.*up': { sym: true },
      '+:.*': { bits: 2 },
    }
    const formatOf = (module: string, weight: GroupedWeight): GroupedFormat =>
      find({ ...gptqConfig, dynamic }, encodeGptq(weight, 'gptq'), module)!.format
    expect(formatOf('a.down_proj', weightOf({ bits: 8, groupSize: 'channel' }))).toMatchObject({ bits: 8 })
    expect(formatOf('a.up_proj', weightOf({}))).toMatchObject({ bits: 4, groupSize: 32 })
    expect(formatOf('a.q_proj', weightOf({ bits: 2 }))).toMatchObject({ bits: 2 })
  })
})

describe('compressed-tensors', () => {
  const packed = encodePackQuantized(weightOf({}))
  const replace = (tensors: readonly EncodedTensor[], other: EncodedTensor): EncodedTensor[] => [
    ...tensors.filter(({ suffix }) => suffix !== other.suffix),
    other,
  ]

  it('leaves out zero points and orders that say nothing', () => {
    const order = intTensor('weight_g_idx', Array<number>(64).fill(-1))
    const zeros: EncodedTensor = {
      suffix: 'weight_zero_point',
      dtype: 'int8',
      shape: [32, 2],
      bytes: new Uint8Array(64),
    }
    expect(find(ctConfig({}), [...packed, order, zeros])?.format).toMatchObject({ hasZeros: false, hasOrder: false })
    expect(
      find(ctConfig({}), [
        ...packed,
        intTensor(
          'weight_g_idx',
          Array.from({ length: 64 }, (__, i) => i >> 5),
        ),
      ])?.order,
    ).toBe(null)
  })

  it('reads negative zero points', () => {
    const points = Int8Array.from({ length: 64 }, (_, i) => i - 70)
    const zeros: EncodedTensor = {
      suffix: 'weight_zero_point',
      dtype: 'int8',
      shape: [32, 2],
      bytes: new Uint8Array(points.buffer),
    }
    const scales = {
      suffix: 'weight_scale',
      dtype: 'float32',
      shape: [32, 2],
      bytes: new Uint8Array(new Float32Array(64).fill(1).buffer),
    } as const
    const tensors = [
      ...encodeIntQuantized(weightOf({ bits: 8, scaleDtype: 'float32' })).filter(
        ({ suffix }) => suffix !== 'weight_scale',
      ),
      scales,
      zeros,
    ]
    const weight = readGrouped(find(ctConfig({ num_bits: 8 }), tensors)!)
    const row = new Float32Array(64)
    createGroupedReader(weight, weight.planes)(3, row)
    // Codes of 0 are -128.
    expect([row[0], row[63]]).toEqual([-128 - (6 - 70), -128 - (7 - 70)])
  })

  it.each<[string, Json, EncodedTensor[], RegExp]>([
    [
      'zero points beyond its codes',
      {},
      [
        ...packed,
        intTensor(
          'weight_zero_point',
          Array.from({ length: 32 }, () => [0, 8]),
        ),
      ],
      /holds 8, and codes of 4 bits are -8 to 7/,
    ],
    [
      'a shape of other rows',
      {},
      replace(packed, {
        suffix: 'weight_shape',
        dtype: 'int64',
        shape: [2],
        bytes: new Uint8Array(BigInt64Array.of(31n, 64n).buffer),
      }),
      /says \[31, 64\], and m.weight_packed has 32 rows/,
    ],
    [
      'a shape of too many columns',
      {},
      replace(packed, {
        suffix: 'weight_shape',
        dtype: 'int64',
        shape: [2],
        bytes: new Uint8Array(BigInt64Array.of(32n, 2n ** 60n).buffer),
      }),
      /says \[32, 1152921504606847000\]/,
    ],
    ['other bits than its config says', { num_bits: 3 }, packed, /expected 6 words for 64 codes of 3 bits, found 8/],
    ['codes of floats', { type: 'float' }, packed, /its config says float4/],
  ])('refuses %s', (_, weights, tensors, message) => {
    expect(() => find(ctConfig(weights), tensors)).toThrow(CheckpointError)
    expect(() => find(ctConfig(weights), tensors)).toThrow(message)
  })

  it('refuses weights that were never compressed', () => {
    const floats = { suffix: 'weight', dtype: 'float32', shape: [32, 64], bytes: new Uint8Array(4 * 32 * 64) } as const
    expect(find(ctConfig({}), [floats])).toBe(null)
    const scale = packed.find(({ suffix }) => suffix === 'weight_scale')!
    expect(() => find(ctConfig({}), [floats, scale])).toThrow(
      /m has a "weight_scale" and its weight is not quantized yet/,
    )
    expect(() => find(ctConfig({}), [scale])).toThrow(
      /tensor "m.weight_packed": missing, and there is "m.weight_scale"; download the checkpoint again/,
    )
  })

  it('chooses a group by a name, a pattern, then a class', () => {
    const group = (bits: number, ...targets: string[]): Json => ({
      targets,
      weights: { num_bits: bits, type: 'int', strategy: 'group', group_size: 32 },
    })
    const groups = { a: group(2, 'Linear'), b: group(3, 're:.*\\.down_proj$'), c: group(5, 'x.q_proj') }
    const bitsOf = (module: string, bits: number, configGroups: Json): number | undefined =>
      find(ctConfig({}, { config_groups: configGroups }), encodePackQuantized(weightOf({ bits })), module)?.format.bits
    expect(bitsOf('x.down_proj', 3, groups)).toBe(3)
    expect(bitsOf('x.q_proj', 5, groups)).toBe(5)
    expect(bitsOf('x.k_proj', 2, groups)).toBe(2)
    // Of one group only, its weight can be nothing else.
    expect(bitsOf('x.k_proj', 6, { a: group(6, 'LlamaMLP') })).toBe(6)
    expect(() => bitsOf('x.k_proj', 3, { b: groups.b, c: groups.c })).toThrow(
      /none of the "config_groups" is for x.k_proj/,
    )
  })
})
