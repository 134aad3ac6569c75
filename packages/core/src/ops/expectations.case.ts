import { memory, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { expect } from 'vitest'

/** The values of a tensor, which is disposed. */
export function take(tensor: Tensor2D): Float32Array {
  const values = Float32Array.from(tensor.dataSync<'float32'>())
  tensor.dispose()
  return values
}

/** Largest difference relative to the largest expected magnitude; NaN, which passes no bound, if there is any. */
export function relativeError(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length)
  let difference = 0
  let magnitude = 0
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!)
    if (Number.isNaN(d)) return NaN
    difference = Math.max(difference, d)
    magnitude = Math.max(magnitude, Math.abs(expected[i]!))
  }
  return magnitude === 0 ? difference : difference / magnitude
}

export function expectClose(actual: Tensor2D, expected: Tensor2D, tolerance = 1e-5): void {
  expect(actual.shape).toEqual(expected.shape)
  expect(relativeError(take(actual), take(expected))).toBeLessThanOrEqual(tolerance)
}

/** Equal bit for bit; on failure says where. */
export function expectSameBits(actual: Float32Array, expected: Float32Array, what: string): void {
  expect(actual.length, what).toBe(expected.length)
  const a = new Uint32Array(actual.buffer, actual.byteOffset, actual.length)
  const b = new Uint32Array(expected.buffer, expected.byteOffset, expected.length)
  const at = a.findIndex((bits, i) => bits !== b[i])
  expect(at, `${what}: element ${at} is ${actual[at]}, not ${expected[at]}`).toBe(-1)
}

/** Runs `run`, which returns how many tensors it means to leave; any other number is a leak. */
export function expectTensorsLeft(run: () => Tensor2D[]): void {
  const before = memory()
  const outputs = run()
  expect(memory().numTensors - before.numTensors).toBe(outputs.length)
  for (const output of outputs) output.dispose()
  expect(memory().numTensors).toBe(before.numTensors)
  expect(memory().numDataBuffers).toBe(before.numDataBuffers)
}

/**
 * `run` on all rows at once must equal, bit for bit, `run` on any grouping of them.
 * x `[n, columns]`; `run` also gets the index of its first row, for arguments that go by row.
 */
export function expectRowInvariance(
  x: Float32Array,
  columns: number,
  run: (rows: Tensor2D, firstRow: number) => Tensor2D,
): void {
  const n = x.length / columns
  const runRows = (start: number, end: number): Float32Array => {
    const rows = tensor2d(x.slice(start * columns, end * columns), [end - start, columns])
    const out = take(run(rows, start))
    rows.dispose()
    return out
  }
  const whole = runRows(0, n)
  const width = whole.length / n
  for (const groupSize of [1, 2, 3, 5, 17]) {
    for (let start = 0; start < n; start += groupSize) {
      const end = Math.min(start + groupSize, n)
      const part = runRows(start, end)
      expectSameBits(part, whole.slice(start * width, end * width), `rows ${start} to ${end} of ${n}`)
    }
  }
}
