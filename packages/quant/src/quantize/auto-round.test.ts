import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { createBackend, InvalidConfigError } from '@octavo/core'
import { gram } from '@octavo/core/ops'
import { beforeAll, describe, expect, it } from 'vitest'
import { quantizeByAutoRound } from './auto-round.ts'
import { quantizeToNearest } from './round-to-nearest.ts'
import { resolveScheme } from './scheme-options.ts'
import { outputError, solverInput, solverWeight, widen } from './solver-data.case.ts'

const shape = { rows: 24, cols: 96, tokens: 200, seed: 21, dead: true }
const matrix = solverWeight(shape.rows, shape.cols, shape.seed)
const input = solverInput(shape)
const moments = new Float64Array(shape.cols ** 2)

beforeAll(async () => {
  const { pack } = await createBackend('wasm', { env: {} })
  await setBackend(pack.name)
  const x = tensor2d(input, [shape.tokens, shape.cols])
  gram(x, moments)
  x.dispose()
})

describe.each([
  { bits: 4, groupSize: 'channel', isSymmetric: true },
  { bits: 4, groupSize: 32, isSymmetric: false },
  { bits: 3, groupSize: 32, isSymmetric: true },
  { bits: 2, groupSize: 16, isSymmetric: false },
] as const)('$bits bits, $groupSize, symmetric: $isSymmetric', (options) => {
  it('learns to lose far less than rounding to nearest', () => {
    const scheme = resolveScheme(options)
    const rounded = outputError(matrix, widen(quantizeToNearest(matrix, scheme)), input)
    const { weight, loss, nearestLoss } = quantizeByAutoRound(matrix, moments, { scheme })
    const tuned = outputError(matrix, widen(weight), input)
    expect(tuned / rounded).toBeLessThan(0.75)
    // What it says of itself is what outputs show.
    expect(loss / nearestLoss / (tuned / rounded)).toBeCloseTo(1, 2)
  })
})

it('keeps the best step, the first one included', () => {
  const scheme = resolveScheme({ bits: 8, groupSize: 'channel' })
  const { loss, nearestLoss } = quantizeByAutoRound(matrix, moments, { scheme, steps: 2, learningRate: 1 })
  expect(loss).toBeLessThanOrEqual(nearestLoss)
})

it('refuses what it cannot tune', () => {
  const refused = [
    resolveScheme({ type: 'float', bits: 8, groupSize: 'channel' }),
    resolveScheme({ bits: 8, groupSize: 'tensor' }),
    resolveScheme({ observer: 'mse', groupSize: 32 }),
  ]
  for (const scheme of refused)
    expect(() => quantizeByAutoRound(matrix, moments, { scheme })).toThrow(InvalidConfigError)
  const scheme = resolveScheme({ groupSize: 32 })
  expect(() => quantizeByAutoRound(matrix, moments, { scheme, steps: 0 })).toThrow(/steps/)
})
