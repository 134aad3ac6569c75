import { slice, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { beforeEach, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { dequantizeRow } from '../tensor/dequantize.ts'
import { rowBytes } from '../tensor/dtype.ts'
import { createGroupedReader } from '../tensor/grouped-format.ts'
import type { ReadRow } from '../tensor/grouped-format.ts'
import { isGrouped, weightBytes } from '../tensor/packed-weight.ts'
import type { PackedWeightSpec } from '../tensor/packed-weight.ts'
import { expectClose, expectRowInvariance, expectSameBits, expectTensorsLeft, take } from './expectations.case.ts'
import { RandomData } from './random-data.case.ts'
import { embedding, embeddingComposite } from './embedding.ts'
import { gatedActivation } from './gated-activation.ts'
import { gatedLinear } from './gated-linear.ts'
import { linear, linearComposite } from './linear.ts'
import { linearParts } from './linear-parts.ts'
import { refusalOf, testedFormats, widthsOf } from './weight-formats.case.ts'

/** Tokens and features of one half or part: whole panels of any kernel, and not; one token, one tile of them, more. */
const outputShapes = [
  [1, 64],
  [1, 7],
  [5, 32],
  [16, 96],
  [37, 64],
  [37, 19],
] as const

/** A lone sum of 768 products may cancel to little, and backends add in different orders. */
const sumTolerance = 5e-5

function referenceReader({ format, rows, cols }: PackedWeightSpec, bytes: Uint8Array): ReadRow {
  if (isGrouped(format)) return createGroupedReader({ format, rows, cols }, bytes)
  return (row, out) => dequantizeRow(format, bytes, row * rowBytes(format, cols), out, cols)
}

/** Packed weights, `embedding` and the products, in every format. */
export function describeWeightOps(getPack: () => BackendPack): void {
  describe.each(testedFormats)('weights in %s', (_, format) => {
    beforeEach(({ skip }) => {
      const refusal = refusalOf(getPack(), format)
      if (refusal !== null) skip(refusal)
    })

    it('keep their bytes, count them, and free them', () => {
      const pack = getPack()
      const [rows, cols] = [5, widthsOf(format).at(-1)!]
      const size = weightBytes({ format, rows, cols })
      const before = pack.usedBytes
      let stored = new Uint8Array()
      const weight = new RandomData(1).weight(
        { packWeight: (spec, fill) => pack.packWeight(spec, (bytes) => (fill(bytes), (stored = bytes.slice()))) },
        format,
        [rows, cols],
      )
      expect(stored.length).toBe(size)
      expect(weight.sizeInBytes).toBe(size)
      expect(pack.usedBytes - before).toBe(size)
      const readExpected = referenceReader({ format, rows, cols }, stored)
      const [actual, expected] = [new Float32Array(cols), new Float32Array(cols)]
      for (let row = 0; row < rows; row++) {
        weight.readRow(row, actual)
        readExpected(row, expected)
        expectSameBits(actual, expected, `row ${row}`)
      }
      weight.dispose()
      expect(pack.usedBytes).toBe(before)
      expect(() => weight.readRow(0, actual)).toThrow('after dispose')
    })

    it('embedding reads rows as they are', () => {
      const random = new RandomData(2)
      for (const cols of widthsOf(format)) {
        const weight = random.weight(getPack(), format, [11, cols])
        for (const ids of [Int32Array.of(10), Int32Array.of(0, 3, 3, 10, 7)]) {
          const fused = embedding(ids, weight)
          expect(fused.shape).toEqual([ids.length, cols])
          const composite = embeddingComposite({ ids, weight })
          expectSameBits(take(fused), take(composite), `${cols} columns`)
        }
        weight.dispose()
      }
    })

    it('linear equals its composite', () => {
      const random = new RandomData(3)
      for (const cols of widthsOf(format)) {
        for (const [n, rows] of [
          [1, 1],
          [1, 33],
          [2, 8],
          [3, 5],
          [5, 16],
          [17, 12],
          [33, 7],
        ] as const) {
          const weight = random.weight(getPack(), format, [rows, cols])
          const [x, bias] = [random.matrix(n, cols), random.vector(rows)]
          expectClose(linear(x, weight, null), linearComposite(x, weight, null), sumTolerance)
          expectClose(linear(x, weight, bias), linearComposite(x, weight, bias), sumTolerance)
          weight.dispose()
          x.dispose()
          bias.dispose()
        }
      }
    })

    it('gatedLinear is a linear and a gatedActivation, bit for bit', () => {
      const random = new RandomData(6)
      const cols = widthsOf(format).at(-1)!
      for (const [n, features] of outputShapes) {
        const weight = random.weight(getPack(), format, [2 * features, cols])
        const [x, bias] = [random.matrix(n, cols), random.vector(2 * features)]
        for (const options of [
          { bias, kind: 'silu' },
          { bias: null, kind: 'gelu_tanh' },
          { bias, kind: 'relu' },
        ] as const) {
          const expected = tidy(() => gatedActivation(linear(x, weight, options.bias), options.kind))
          const fused = gatedLinear(x, weight, options)
          expect(fused.shape).toEqual([n, features])
          expectSameBits(take(fused), take(expected), `[${n}, ${features}], ${options.kind}`)
        }
        weight.dispose()
        x.dispose()
        bias.dispose()
      }
    })

    it('linearParts are the columns of a linear, bit for bit', () => {
      const random = new RandomData(7)
      const cols = widthsOf(format).at(-1)!
      for (const [n, features] of outputShapes) {
        const widths = [features, 32, 3]
        const rows = features + 35
        const weight = random.weight(getPack(), format, [rows, cols])
        const [x, bias] = [random.matrix(n, cols), random.vector(rows)]
        for (const each of [bias, null]) {
          const whole = linear(x, weight, each)
          linearParts(x, weight, { bias: each, widths }).forEach((part, i) => {
            const first = i === 0 ? 0 : i === 1 ? features : features + 32
            expect(part.shape).toEqual([n, widths[i]])
            expectSameBits(take(part), take(slice(whole, [0, first], [n, widths[i]!])), `[${n}, ${rows}], part ${i}`)
          })
          whole.dispose()
        }
        weight.dispose()
        x.dispose()
        bias.dispose()
      }
    })

    it('the products give every row the same bits in any batch', ({ skip }) => {
      if (!getPack().isBatchInvariant) skip('the pack does not promise batch invariance')
      const random = new RandomData(4)
      const cols = widthsOf(format).at(-1)!
      for (const rows of [13, 64]) {
        const weight = random.weight(getPack(), format, [rows, cols])
        const bias = random.vector(rows)
        const values = random.floats(67 * cols)
        expectRowInvariance(values, cols, (x) => linear(x, weight, bias))
        if (rows === 64) expectRowInvariance(values, cols, (x) => gatedLinear(x, weight, { bias, kind: 'silu' }))
        weight.dispose()
        bias.dispose()
      }
    })
  })

  it('leave one tensor each, or one per part', () => {
    const random = new RandomData(5)
    const weight = random.weight(getPack(), 'float16', [6, 10])
    const x = random.matrix(3, 10)
    const bias = random.vector(6)
    expectTensorsLeft(() => [
      linear(x, weight, bias),
      gatedLinear(x, weight, { bias, kind: 'silu' }),
      ...linearParts(x, weight, { bias, widths: [2, 4] }),
      embedding(Int32Array.of(1, 2), weight),
    ])
    for (const tensor of [x, bias]) tensor.dispose()
    weight.dispose()
  })

  it('linear sums a known product', () => {
    const weight = getPack().packWeight({ format: 'float32', rows: 2, cols: 3 }, (bytes) =>
      bytes.set(new Uint8Array(Float32Array.of(1, 2, 3, -1, 0.5, 0).buffer)),
    )
    const x = tensor2d([
      [1, 1, 1],
      [2, 0, -1],
    ])
    expect([...take(linear(x, weight, null))]).toEqual([6, -0.5, -1, -2])
    x.dispose()
    weight.dispose()
  })
}
