import { tensor2d, zeros } from '@tensorflow/tfjs-core'
import type { Rank } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { expectTensorsLeft } from './expectations.case.ts'
import { gram } from './gram.ts'
import { inverseCholesky } from './inverse-cholesky.ts'
import { RandomData } from './random-data.case.ts'

/** Below, at and above the sizes of the kernels' tiles and blocks. */
const sizes = [1, 2, 7, 33, 128, 129, 300]

/** xᵀx in float64, whole. */
function momentsOf(x: Float32Array, n: number, features: number): Float64Array {
  const sums = new Float64Array(features * features)
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < features; i++) {
      for (let j = 0; j < features; j++) sums[i * features + j]! += x[row * features + i]! * x[row * features + j]!
    }
  }
  return sums
}

/** Largest element of |UᵀU·H - 1|, for U upper and H symmetric: zero where UᵀU is H's inverse. */
function residualOf(upper: Float64Array, h: Float64Array, n: number): number {
  // R = U·H, then UᵀR.
  const product = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let k = i; k < n; k++) {
      for (let j = 0; j < n; j++) product[i * n + j]! += upper[i * n + k]! * h[k * n + j]!
    }
  }
  let largest = 0
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let value = i === j ? -1 : 0
      for (let k = 0; k <= i; k++) value += upper[k * n + i]! * product[k * n + j]!
      largest = Math.max(largest, Math.abs(value))
    }
  }
  return largest
}

/** `n` columns of which a few stand for most of the rest, damped by a hundredth of the mean: what calibration gives. */
function dampedMoments(random: RandomData, n: number): Float64Array {
  const numRows = Math.ceil(n / 4)
  const h = momentsOf(random.floats(numRows * n, 2), numRows, n)
  let trace = 0
  for (let i = 0; i < n; i++) trace += h[i * n + i]!
  for (let i = 0; i < n; i++) h[i * n + i]! += (0.01 * trace) / n
  return h
}

/** What solvers of quantization and pruning ask of a backend. */
export function describeSolverOps(): void {
  describe('gram', () => {
    it('adds the second moments of a batch to the upper triangle', () => {
      const random = new RandomData(91)
      for (const features of sizes) {
        const n = random.integer(1, 300)
        const x = tensor2d(random.floats(n * features), [n, features])
        const before = Float64Array.from({ length: features * features }, () => random.uniform())
        const sums = before.slice()
        expectTensorsLeft(() => (gram(x, sums), []))
        const expected = momentsOf(x.dataSync<'float32'>(), n, features)
        x.dispose()
        for (let i = 0; i < features; i++) {
          for (let j = 0; j < features; j++) {
            const at = i * features + j
            const difference = sums[at]! - before[at]!
            if (j < i) expect(difference, `below the diagonal, ${i}, ${j}`).toBe(0)
            else expect(Math.abs(difference - expected[at]!), `${i}, ${j} of ${features}`).toBeLessThan(1e-5 * n)
          }
        }
      }
    })

    it('takes a batch without rows', () => {
      const [x, sums] = [zeros<Rank.R2>([0, 3]), Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9)]
      gram(x, sums)
      expect([...sums]).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
      x.dispose()
    })

    it('adds up small values beside a large sum', () => {
      const x = tensor2d([[1e-4]])
      const sums = Float64Array.of(1e4)
      for (let i = 0; i < 1000; i++) gram(x, sums)
      expect(Math.abs(sums[0]! - 1e4 - 1e-5)).toBeLessThan(1e-8)
      x.dispose()
    })
  })

  describe('inverseCholesky', () => {
    it('is the upper factor of the inverse, zeros below', () => {
      const random = new RandomData(92)
      for (const n of sizes) {
        const h = dampedMoments(random, n)
        const upper = h.slice()
        for (let i = 0; i < n; i++) upper.fill(NaN, i * n, i * n + i)
        expect(inverseCholesky(upper, n)).toBe(null)
        for (let i = 0; i < n; i++) {
          expect(upper[i * n + i]!).toBeGreaterThan(0)
          expect(upper.subarray(i * n, i * n + i).every((value) => value === 0)).toBe(true)
        }
        expect(residualOf(upper, h, n), `${n} columns`).toBeLessThan(1e-9)
      }
    })

    it('says at which column a matrix is not positive definite', () => {
      const n = 200
      for (const column of [0, 100, 199]) {
        for (const value of [-1, 0, NaN, Infinity]) {
          const matrix = new Float64Array(n * n)
          for (let i = 0; i < n; i++) matrix[i * n + i] = 1
          matrix[column * n + column] = value
          expect(inverseCholesky(matrix, n), `${value} at ${column}`).toBe(column)
        }
      }
    })
  })
}
