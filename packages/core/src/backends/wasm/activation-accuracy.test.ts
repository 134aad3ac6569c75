import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { activation } from '../../ops/activation.ts'
import type { ActivationKind } from '../../ops/activation.ts'
import { expectSameBits, take } from '../../ops/expectations.case.ts'
import { createWasmPack } from './wasm-pack.ts'

const count = 20_001

/** Evenly spaced float32 values. */
function spaced(from: number, to: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1))
}

function run(x: Float32Array, kind: ActivationKind): Float32Array {
  const input = tensor2d(x, [1, x.length])
  const output = take(activation(input, kind))
  input.dispose()
  return output
}

/** Largest relative error against the float64 function. */
function worstError(x: Float32Array, kind: ActivationKind, exact: (x: number) => number): number {
  const y = run(x, kind)
  let worst = 0
  x.forEach((value, i) => {
    const expected = exact(value)
    if (expected !== 0) worst = Math.max(worst, Math.abs(y[i]! / expected - 1))
  })
  return worst
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))

/** Complementary error function in float64: the Taylor series of erf near zero, a continued fraction beyond. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x)
  if (x < 2.5) {
    let [term, sum] = [x, x]
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n
      sum += term / (2 * n + 1)
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = x
  for (let n = 120; n > 0; n--) fraction = x + n / 2 / fraction
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction
}

describe('activations in wasm', () => {
  beforeAll(async () => {
    await createWasmPack()
    await setBackend('wasm')
  })

  it('have a relative error below 1e-6', () => {
    // From here on exp(-x) is far from float32's subnormals.
    expect(worstError(spaced(-80, 80), 'silu', (x) => x * sigmoid(x))).toBeLessThan(1e-6)
    expect(worstError(spaced(-5, 5), 'gelu', (x) => (x / 2) * erfc(-x * Math.SQRT1_2))).toBeLessThan(1e-6)
    const inner = (x: number): number => 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)
    // The argument's own rounding is multiplied by its size: at -3 it is 6.6.
    expect(worstError(spaced(-3, 8), 'gelu_tanh', (x) => x * sigmoid(inner(x)))).toBeLessThan(1e-6)
  })

  it.each(['silu', 'gelu', 'gelu_tanh'] as const)('%s does not depend on the place of an element', (kind) => {
    const x = spaced(-9, 9).subarray(0, 1003)
    const whole = run(x, kind)
    const single = Float32Array.from(x, (value) => run(Float32Array.of(value), kind)[0]!)
    expectSameBits(single, whole, kind)
  })

  it('pass NaN on and reach their limits', () => {
    for (const kind of ['silu', 'gelu', 'gelu_tanh'] as const) {
      const [nan, low, high] = run(Float32Array.of(NaN, -1e30, 1e30), kind)
      expect(nan).toBeNaN()
      expect(low).toBeCloseTo(0)
      expect(high).toBe(Math.fround(1e30))
    }
  })
})
