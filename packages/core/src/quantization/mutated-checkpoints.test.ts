import { describe, expect, it } from 'vitest'
import { OctavoError } from '../errors.ts'
import { randomValues } from '../layers/memory-weights.case.ts'
import type { RawDType } from '../loading/raw-tensor.ts'
import { WeightView } from '../loading/weight-view.ts'
import { groupedFormat, planesOf, type GroupedFormat, type GroupedWeight } from '../tensor/grouped-format.ts'
import { encodeAwq } from './awq-layout.ts'
import { createQuantizationScheme } from './create-quantization-scheme.ts'
import type { EncodedTensor } from './encoded-tensor.ts'
import { encodeGptq } from './gptq-layout.ts'
import { encodeIntQuantized } from './int-quantized-layout.ts'
import { readGrouped } from './load-grouped.ts'
import { encodePackQuantized } from './pack-quantized-layout.ts'
import { RawWeights } from './raw-weights.case.ts'

const numMutations = 600

const hostile = [
  null,
  -1,
  0,
  1,
  3,
  7,
  1e9,
  2 ** 53,
  0.5,
  NaN,
  '',
  'int',
  'block',
  're:(.*)*',
  '-1',
  [],
  [0],
  {},
  true,
  'a'.repeat(5000),
]
const dtypes: readonly RawDType[] = [
  'int8',
  'uint8',
  'int32',
  'int64',
  'float8_e4m3',
  'float16',
  'float32',
  'bool',
  'q4_0',
]
const elementBytes: Readonly<Record<string, number>> = {
  int8: 1,
  uint8: 1,
  float8_e4m3: 1,
  bool: 1,
  float16: 2,
  q4_0: 18,
  int64: 8,
}
const sizes = [0, 1, 2, 3, 7, 8, 16, 31, 32, 33, 64, 128]

function weightOf(format: Partial<GroupedFormat>): GroupedWeight {
  const whole = groupedFormat({ bits: 4, groupSize: 32, scaleDtype: 'float16', hasZeros: true, ...format })
  const spec = { format: whole, rows: 32, cols: 64 }
  return { ...spec, planes: new Uint8Array(planesOf(spec).sizeInBytes) }
}

const group = {
  targets: ['re:.*'],
  weights: { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: 32, block_structure: [8, 32] },
}
const packed = { quant_method: 'compressed-tensors', format: 'pack-quantized', config_groups: { group_0: group } }
const signed = { ...packed, config_groups: { group_0: { ...group, weights: { ...group.weights, num_bits: 8 } } } }

const checkpoints: readonly (readonly [name: string, json: Record<string, unknown>, tensors: EncodedTensor[]])[] = [
  [
    'gptq',
    {
      quant_method: 'gptq',
      bits: 4,
      group_size: 32,
      sym: false,
      checkpoint_format: 'gptq',
      dynamic: { '+:a': { bits: 8 } },
      meta: { quantizer: [] },
    },
    encodeGptq(weightOf({ hasOrder: true }), 'gptq'),
  ],
  ['awq', { quant_method: 'awq', bits: 4, group_size: 32, zero_point: true, version: 'gemm' }, encodeAwq(weightOf({}))],
  ['pack-quantized', packed, encodePackQuantized(weightOf({ hasOrder: true }))],
  ['int-quantized', signed, encodeIntQuantized(weightOf({ bits: 8 }))],
]

describe.each(checkpoints)('%s with anything wrong', (_, json, tensors) => {
  it('is read or refused by a typed error', () => {
    let numRead = 0
    for (let seed = 1; seed <= numMutations; seed++) {
      const random = [...randomValues(8, seed)].map((value) => (value + 1) / 2)
      const pick = <T>(values: readonly T[]): T => values[Math.floor((random.pop() ?? 0) * values.length)]!
      const isConfig = seed % 2 === 0
      const altered = isConfig ? mutateJson(json, pick) : json
      const others = isConfig ? tensors : mutateTensors(tensors, pick)
      try {
        const scheme = createQuantizationScheme({
          file: 'config.json',
          method: null,
          json: altered as Record<string, unknown>,
        })
        const found = scheme.find(new WeightView(new RawWeights({ m: others })), 'm', 'linear')
        if (found !== null) readGrouped(found)
        numRead++
      } catch (error) {
        if (!OctavoError.isInstance(error)) throw new Error(`mutation ${seed}`, { cause: error })
      }
    }
    expect(numRead).toBeLessThan(numMutations)
    expect(numRead).toBeGreaterThan(0)
  })
})

type Pick = <T>(values: readonly T[]) => T

/** One value somewhere in it. */
function mutateJson(value: unknown, pick: Pick): unknown {
  if (typeof value !== 'object' || value === null) return pick(hostile)
  const keys = Object.keys(value)
  if (keys.length === 0) return pick(hostile)
  const key = pick(keys)
  const changed = pick([0, 1, 1, 1]) === 0 ? pick(hostile) : mutateJson((value as Record<string, unknown>)[key], pick)
  return Array.isArray(value)
    ? value.map((item, i) => (String(i) === key ? changed : item))
    : { ...value, [key]: changed }
}

/** One tensor's dtype or one of its sizes; as many bytes as a file would have to have. */
function mutateTensors(tensors: readonly EncodedTensor[], pick: Pick): EncodedTensor[] {
  const chosen = pick(tensors)
  const dtype = pick([true, false]) ? chosen.dtype : pick(dtypes)
  const at = pick(chosen.shape.map((__, i) => i))
  const shape = pick([
    chosen.shape,
    chosen.shape.map((size, i) => (i === at ? pick(sizes) : size)),
    [...chosen.shape, 1],
    chosen.shape.slice(1),
  ])
  const length = shape.reduce((product, size) => product * size, elementBytes[dtype] ?? 4)
  const bytes = new Uint8Array(length)
  bytes.set(chosen.bytes.subarray(0, length))
  return tensors.map((tensor) => (tensor === chosen ? { ...tensor, dtype, shape, bytes } : tensor))
}
