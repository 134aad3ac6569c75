import { planesOf } from '@octavo/core/backend'
import type { GroupedSpec } from '@octavo/core/backend'
import { createGroupedReader } from '@octavo/core/quantization'
import { afterAll, describe, expect, it } from 'vitest'
import {
  base,
  exactLinear,
  floatPlans,
  integerPlans,
  plainLinear,
  plainWideLinear,
  randomPlanes,
  rows,
  takeApart,
} from './grouped-weight.case.ts'
import type { ActivationFormat, Isa, NativeMatrix } from './native-addon.ts'
import { NativePackedWeight } from './native-packed-weight.ts'
import { randomInts } from './quantized-weight.case.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

const counts = [1, 2, 8, 9, 16, 41]

const sameBits = (a: Float32Array, b: Float32Array): boolean => Buffer.from(a.buffer).equals(Buffer.from(b.buffer))

const modesOf = (all: readonly ActivationFormat[]): { isa: Isa; activations: ActivationFormat }[] =>
  testedIsas.flatMap((isa) => all.map((activations) => ({ isa, activations })))

describe.skipIf(testedAddon === null)('a grouped weight', () => {
  if (testedAddon === null) return
  const addon = testedAddon
  const before = addon.isa()
  const pool = new addon.Pool(2)
  afterAll(() => {
    addon.setIsa(before)
    pool.dispose()
  })

  function pack(
    spec: GroupedSpec,
    planes: Uint8Array,
    choice: { isa: Isa; activations: ActivationFormat },
  ): NativePackedWeight {
    addon.setIsa(choice.isa)
    const fill = (bytes: Uint8Array): void => bytes.set(planes)
    return new NativePackedWeight(spec, { fill, stored: null }, { pool, ...choice, onDispose: () => {} })
  }

  function products(matrix: NativeMatrix, x: Float32Array, cols: number): Float32Array[] {
    return counts.map((n) => {
      const y = new Float32Array(n * rows)
      pool.linear(matrix, y, x.subarray(0, n * cols), n, null)
      return y
    })
  }

  describe.each(Object.entries({ ...integerPlans, ...floatPlans }))('%s', (name, plan) => {
    const { format, unit = 32, cols = 352 } = plan
    const isInteger = name in integerPlans
    const spec = { format, rows, cols }
    const weight = takeApart(plan, cols)
    const packedCols = weight.columns.length
    const random = randomInts(7)
    const x = Float32Array.from({ length: 41 * cols }, () => (random(20001) - 10000) / 7000)
    const ordered = Float32Array.from({ length: 41 * packedCols }, (_, at) => {
      const col = weight.columns[at % packedCols]!
      return col === -1 ? 0 : x[Math.floor(at / packedCols) * cols + col]!
    })
    const exact = exactLinear(ordered, weight, [41, packedCols, unit])
    const largest = exact.reduce((max, value) => Math.max(max, Math.abs(value)), 0)

    it.runIf(isInteger).each(modesOf(['int8', 'int8-wide']))(
      'has the bits of plain arithmetic on $isa, $activations',
      (mode) => {
        const packed = pack(spec, weight.planes, mode)
        const expected =
          mode.activations === 'int8'
            ? plainLinear(ordered, weight, [41, packedCols, unit])
            : plainWideLinear(ordered, weight, plan, [41, packedCols])
        for (const y of products(packed.matrix, x, cols)) expect(y).toEqual(expected.subarray(0, y.length))
        packed.dispose()
      },
    )

    it.each(testedIsas)('is exact with float32 activations on %s, with the same bits in any batch', (isa) => {
      const packed = pack(spec, weight.planes, { isa, activations: 'float32' })
      const results = products(packed.matrix, x, cols)
      const whole = results.at(-1)!
      for (const y of results) expect(y).toEqual(whole.subarray(0, y.length))
      const error = whole.reduce((max, value, at) => Math.max(max, Math.abs(value - exact[at]!)), 0)
      expect(error / largest).toBeLessThan(1e-6)
      packed.dispose()
    })

    it('takes little more memory than stored', () => {
      const wide: GroupedSpec = { format, rows: 64, cols: 1920 }
      const planes = randomPlanes(wide, true)
      const packed = pack(wide, planes, { isa: testedIsas.at(-1)!, activations: 'int8' })
      const stored = planes.length + (format.hasOrder ? 0 : 4 * 60 * (32 / unit))
      const codes = (plan.packedBits ?? format.bits) / format.bits
      expect(packed.matrix.bytes).toBeLessThanOrEqual(1.06 * codes * stored)
      packed.dispose()
    })
  })

  const fused = ['int4 g128 asymmetric', 'int4 ordered', 'int4 g16', 'int8 channel', 'e2m1 g32'] as const
  it.each(modesOf(['int8', 'int8-wide', 'float32']))(
    'has the same bits in fused products on $isa, $activations',
    (mode) => {
      const [cols, features, n] = [352, 48, 19]
      const random = randomInts(5)
      const x = Float32Array.from({ length: n * cols }, () => (random(20001) - 10000) / 7000)
      for (const name of fused) {
        const { format, isShuffled = false } = integerPlans[name]!
        const spec = { format, rows: 2 * features, cols }
        const packed = pack(spec, randomPlanes(spec, isShuffled), mode)
        const whole = new Float32Array(n * 2 * features)
        pool.linear(packed.matrix, whole, x, n, null)
        const [gated, expected] = [new Float32Array(n * features), new Float32Array(n * features)]
        pool.gatedActivation(expected, whole, 'silu', n, features)
        pool.gatedLinear(packed.matrix, gated, x, n, null, 'silu')
        expect(sameBits(gated, expected), `${name}, gated`).toBe(true)
        const parts = [new Float32Array(n * features), new Float32Array(n * features)] as const
        pool.linearParts(packed.matrix, Int32Array.of(features, features), x, n, null, ...parts)
        parts.forEach((part, i) => {
          pool.copyColumns(expected, whole, n, 2 * features, i * features, features)
          expect(sameBits(part, expected), `${name}, part ${i}`).toBe(true)
        })
        packed.dispose()
      }
    },
  )

  it.each([
    ['small groups', { ...base, bits: 5, groupSize: 8, hasZeros: true }],
    ['a large zero', { ...base, hasZeros: true }],
    ['a NaN', { ...base, bits: 8, codebook: 'e4m3' }],
  ] as const)('with %s is widened block by block, its rows as stored', (name, format) => {
    const spec = { format, rows, cols: 352 }
    const planes = randomPlanes(spec, false)
    if (name === 'a large zero') planes[planesOf(spec).zeros!.offset + 20] = 129
    if (name === 'a NaN') planes[10] = 0xff
    const packed = pack(spec, planes, { isa: testedIsas.at(-1)!, activations: 'int8' })
    expect(packed.matrix.bytes).toBeLessThan(planes.length + 2048)
    const read = createGroupedReader(spec, planes)
    const [actual, expected] = [new Float32Array(352), new Float32Array(352)]
    for (const row of [0, 1, rows - 1]) {
      packed.readRow(row, actual)
      read(row, expected)
      expect(actual).toEqual(expected)
    }
    packed.dispose()
  })
})

if (skipReason !== null) it.skip(`grouped weights: ${skipReason}`, () => {})
