import { allWeightFormats, isDense, linearKernel, weightFormats } from '@octavo/core/backend'
import type { BackendPack, PackedWeight, WeightFormat } from '@octavo/core/backend'
import { RandomData } from '@octavo/core/testing'
import { engine, setBackend, tensor2d } from '@tensorflow/tfjs-core'
import type { NamedAttrMap, Tensor } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Isa } from './native-addon.ts'
import { createNativePack } from './native-pack.ts'
import type { ActivationChoice } from './native-packed-weight.ts'
import { skipReason, testedIsas } from './tested-isas.case.ts'

const formats = allWeightFormats.filter((format) => !isDense(format))

function linear(x: Float32Array, weight: PackedWeight): Float32Array {
  const n = x.length / weight.cols
  const input = tensor2d(x.slice(), [n, weight.cols])
  const attrs = { weight } as unknown as NamedAttrMap
  const output = engine().runKernel<Tensor>(linearKernel, { x: input }, attrs)
  const values = Float32Array.from(output.dataSync())
  input.dispose()
  output.dispose()
  return values
}

function roundToEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
}

/** What the activations are after their trip through int8: one scale per block, codes in [-127, 127]. */
function quantized(x: Float32Array, cols: number, blockSize: number): Float64Array {
  const result = new Float64Array(x.length)
  const starts = Array.from({ length: x.length / cols }, (_, row) =>
    Array.from({ length: Math.ceil(cols / blockSize) }, (__, block) => [row * cols + block * blockSize, row] as const),
  )
  for (const [start, row] of starts.flat()) {
    const block = x.subarray(start, Math.min(start + blockSize, (row + 1) * cols))
    const scale = Math.fround(block.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / 127)
    block.forEach((value, i) => (result[start + i] = scale === 0 ? 0 : roundToEven(value / scale) * scale))
  }
  return result
}

/** The product in float64, element by element. */
function expectedLinear(x: Float64Array, weight: PackedWeight): Float64Array {
  const { rows, cols } = weight
  const n = x.length / cols
  const out = new Float64Array(n * rows)
  const row = new Float32Array(cols)
  for (let r = 0; r < rows; r++) {
    weight.readRow(r, row)
    for (let i = 0; i < n; i++) {
      let sum = 0
      for (let k = 0; k < cols; k++) sum += x[i * cols + k]! * row[k]!
      out[i * rows + r] = sum
    }
  }
  return out
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((a: number, b: number) => Math.max(a, Math.abs(b)), 0)

function colsOf(format: WeightFormat): number {
  return weightFormats[format].blockElements * 3
}

const modes = testedIsas.flatMap((isa) => [
  { isa, activations: 'int8', blockSize: 32 } as const,
  { isa, activations: 'int8-wide', blockSize: 256 } as const,
])

describe.each(modes)('activations in $activations on $isa', ({ isa, activations, blockSize }) => {
  let pack: BackendPack
  beforeAll(async () => {
    pack = await createNativePack({ activations, isa, threads: 2 })
    await setBackend(pack.name)
  })
  afterAll(() => setBackend('cpu'))

  it.each(formats)('%s: the product of rounded activations and stored weights', (format) => {
    const random = new RandomData(1)
    const cols = colsOf(format)
    for (const [n, rows] of [
      [1, 33],
      [5, 16],
      [35, 7],
      [17, 70],
    ] as const) {
      const weight = random.weight(pack, format, [rows, cols])
      const x = random.floats(n * cols)
      const [actual, expected] = [linear(x, weight), expectedLinear(quantized(x, cols, blockSize), weight)]
      // A value halfway between two codes may fall to either side.
      const error = largest(expected.map((value, i) => value - actual[i]!)) / largest(expected)
      expect(error, `[${n}, ${rows}]`).toBeLessThan(2e-3)
      const meanError =
        expected.reduce((sum, value, i) => sum + Math.abs(value - actual[i]!), 0) / expected.length / largest(expected)
      expect(meanError, `[${n}, ${rows}]`).toBeLessThan(5e-5)
      weight.dispose()
    }
  })

  it.each(formats)('%s: a row has the same bits in any batch and with any number of threads', async (format) => {
    const random = new RandomData(2)
    const cols = colsOf(format)
    const weight = random.weight(pack, format, [75, cols])
    const x = random.floats(70 * cols)
    const whole = linear(x, weight)
    for (const threads of [1, 3]) {
      await createNativePack({ activations, isa, threads })
      for (const size of [1, 2, 7, 16, 33]) {
        for (let first = 0; first < 70; first += size) {
          const last = Math.min(70, first + size)
          const part = linear(x.subarray(first * cols, last * cols), weight)
          expect(part).toEqual(whole.subarray(first * weight.rows, last * weight.rows))
        }
      }
    }
    weight.dispose()
  })

  it('keeps rows of zeros and spoils rows of NaN only', () => {
    const random = new RandomData(3)
    const weight = random.weight(pack, 'q8_0', [20, 64])
    const x = random.floats(3 * 64)
    x.fill(0, 64, 128)
    const clean = linear(x, weight)
    expect(largest(clean.subarray(20, 40))).toBe(0)
    x[64] = NaN
    const spoilt = linear(x, weight)
    expect(spoilt.subarray(20, 40).every(Number.isNaN)).toBe(true)
    expect(spoilt.subarray(0, 20)).toEqual(clean.subarray(0, 20))
    expect(spoilt.subarray(40)).toEqual(clean.subarray(40))
    weight.dispose()
  })
})

describe.skipIf(skipReason !== null)('activations chosen by the length of rows', () => {
  afterAll(() => setBackend('cpu'))

  async function product(activations: ActivationChoice, cols: number, isa: Isa): Promise<Float32Array> {
    const pack = await createNativePack({ activations, isa, threads: 1 })
    await setBackend(pack.name)
    const random = new RandomData(9)
    const weight = random.weight(pack, 'q8_0', [16, cols])
    const values = linear(random.floats(cols), weight)
    weight.dispose()
    return values
  }

  it.each(testedIsas)('%s', async (isa) => {
    const long = isa === 'amx' ? 'int8-wide' : 'int8'
    for (const [cols, expected] of [
      [480, 'float32'],
      [512, long],
    ] as const) {
      const chosen = await product('auto', cols, isa)
      for (const activations of ['float32', 'int8', 'int8-wide'] as const) {
        const values = await product(activations, cols, isa)
        if (activations === expected) expect(chosen).toEqual(values)
        else expect(chosen).not.toEqual(values)
      }
    }
  })
})

if (skipReason !== null) it.skip(`activations in int8: ${skipReason}`, () => {})
