import { readFileSync } from 'node:fs'
import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { widenRow } from '@octavo/core/loading'
import { numGroups, planesOf } from '@octavo/core/quantization'
import type { GroupedWeight } from '@octavo/core/quantization'
import { gram } from '@octavo/core/ops'
import { beforeAll, describe, expect, it } from 'vitest'
import type { WeightScheme } from '../weight-scheme.ts'
import { columnOrders } from './column-order.ts'
import type { ColumnOrder } from './column-order.ts'
import { quantizeByGptq } from './gptq.ts'
import { quantizeToNearest } from './round-to-nearest.ts'
import { outputError, solverInput, solverWeight, widen } from './solver-data.case.ts'

interface SolverCase {
  readonly name: string
  readonly scheme: WeightScheme
  /** In base64: codes before zeros are subtracted, as int8 or float16; scales as float32; zeros as int8. */
  readonly nearest: { readonly codes: string; readonly scales: string; readonly zeros: string | null }
  readonly errors: readonly Readonly<Record<ColumnOrder | 'nearest', number>>[]
}

interface SolverFixture {
  readonly shapes: readonly { rows: number; cols: number; tokens: number; seed: number; dead: boolean }[]
  readonly cases: readonly SolverCase[]
}

const fixture: SolverFixture = JSON.parse(
  readFileSync(new URL('../../../../fixtures/quantization/solvers.json', import.meta.url), 'utf8'),
)

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'base64'))
}

/** What codes stand for before zeros are subtracted, row by row; integers around the middle. */
function codesOf({ format, rows, cols, planes }: GroupedWeight): Float32Array {
  const plain = {
    format: { ...format, groupSize: 'channel', hasZeros: false, scaleDtype: 'float32' } as const,
    rows,
    cols,
  }
  const layout = planesOf(plain)
  const ones = new Uint8Array(layout.sizeInBytes)
  ones.set(planes.subarray(0, layout.codes.sizeInBytes))
  new Float32Array(ones.buffer, layout.scales.offset, rows).fill(1)
  return widen({ ...plain, planes: ones })
}

function scalesOf(weight: GroupedWeight): { scales: Float32Array; zeros: Uint8Array | null } {
  const { scales, zeros } = planesOf(weight)
  const values = new Float32Array(weight.rows * numGroups(weight.format, weight.cols))
  widenRow(weight.format.scaleDtype, weight.planes.subarray(scales.offset), values, values.length)
  return { scales: values, zeros: zeros && weight.planes.subarray(zeros.offset, zeros.offset + zeros.sizeInBytes) }
}

/** The same with one kind of zero. */
function unsigned(values: Float32Array): Float32Array {
  return values.map((value) => value + 0)
}

function momentsOf(x: Float32Array, cols: number): Float64Array {
  const input = tensor2d(x, [x.length / cols, cols])
  const sums = new Float64Array(cols * cols)
  gram(input, sums)
  input.dispose()
  return sums
}

describe.each(fixture.cases)('$name', ({ scheme, nearest, errors }) => {
  beforeAll(async () => {
    const { pack } = await createBackend('wasm', { env: {} })
    await setBackend(pack.name)
  })

  it('has the codes, scales and zeros of torch', () => {
    const matrix = solverWeight(24, 96, 11)
    matrix.values.fill(0, 3 * 96, 4 * 96)
    const weight = quantizeToNearest(matrix, scheme)
    const expected = new Float32Array(24 * 96)
    if (scheme.type === 'int') expected.set(new Int8Array(bytesOf(nearest.codes).buffer))
    else widenRow('float16', bytesOf(nearest.codes), expected, expected.length)
    expect(unsigned(codesOf(weight))).toEqual(unsigned(expected))
    const { scales, zeros } = scalesOf(weight)
    expect(scales).toEqual(new Float32Array(bytesOf(nearest.scales).buffer))
    const middle = 2 ** (scheme.numBits - 1)
    const signed = nearest.zeros === null ? null : new Int8Array(bytesOf(nearest.zeros).buffer)
    expect(zeros).toEqual(signed && Uint8Array.from(signed, (zero) => zero + middle))
  })

  it('has no larger output errors than torch', () => {
    fixture.shapes.forEach((shape, i) => {
      const matrix = solverWeight(shape.rows, shape.cols, shape.seed)
      const input = solverInput(shape)
      const moments = momentsOf(input, shape.cols)
      const rounded = outputError(matrix, widen(quantizeToNearest(matrix, scheme)), input)
      expect(Math.abs(rounded / errors[i]!.nearest - 1), 'round to nearest').toBeLessThan(1e-3)
      for (const order of columnOrders) {
        const { weight, failedAt } = quantizeByGptq(matrix, moments, { scheme, order })
        expect(failedAt).toBe(null)
        const error = outputError(matrix, widen(weight), input)
        expect(error / errors[i]![order], `${order}, ${shape.rows} x ${shape.cols}`).toBeLessThan(1.02)
      }
    })
  })
})
