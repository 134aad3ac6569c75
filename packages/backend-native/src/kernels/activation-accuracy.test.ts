import { describe, expect, it } from 'vitest'
import type { NativeAddon, NativePool } from '../native-addon.ts'
import { testedAddon, testedIsas } from '../tested-isas.case.ts'

/** As `ActivationKind` in ops.h numbers them. */
type Kind = 'silu' | 'gelu' | 'gelu_tanh'

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

const exact: Readonly<Record<Kind, (x: number) => number>> = {
  silu: (x) => x * sigmoid(x),
  gelu: (x) => (x / 2) * erfc(-x * Math.SQRT1_2),
  gelu_tanh: (x) => x * sigmoid(2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)),
}

/** Where neither the result nor the argument's own rounding limits the accuracy. */
const domains = { silu: [-80, 80], gelu: [-5, 5], gelu_tanh: [-3, 8] } as const

function run(pool: NativePool, x: Float32Array, kind: Kind): Float32Array {
  const out = new Float32Array(x.length).fill(NaN)
  pool.activation(out, x, kind)
  return out
}

describe.skipIf(testedAddon === null)('native activations', () => {
  const addon = testedAddon as NativeAddon

  describe.each(testedIsas)('%s', (isa) => {
    it.each(['silu', 'gelu', 'gelu_tanh'] as const)('%s is accurate to 1e-6, wherever an element stands', (kind) => {
      expect(addon.setIsa(isa)).toBe(true)
      const pool = new addon.Pool(2)
      const count = 40_001
      const [from, to] = domains[kind]
      const x = Float32Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1))
      const y = run(pool, x, kind)
      let worst = 0
      x.forEach((value, i) => {
        const expected = exact[kind](value)
        if (expected !== 0) worst = Math.max(worst, Math.abs(y[i]! / expected - 1))
      })
      expect(worst).toBeLessThan(1e-6)
      for (let i = 0; i < 300; i++) expect(run(pool, x.slice(i * 100, i * 100 + 1), kind)[0]).toBe(y[i * 100])
      const [nan, low, high] = run(pool, Float32Array.of(NaN, -1e30, 1e30), kind)
      expect(nan).toBeNaN()
      expect(low).toBeCloseTo(0)
      expect(high).toBe(Math.fround(1e30))
      pool.dispose()
      addon.setIsa(addon.bestIsa())
    })
  })
})
