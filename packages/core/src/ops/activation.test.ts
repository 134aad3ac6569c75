import { setBackend, tensor2d } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { activation, activationComposite } from './activation.ts'
import { take } from './expectations.case.ts'
import { gatedActivation, gatedActivationComposite } from './gated-activation.ts'

beforeAll(async () => {
  await createCpuPack()
  await setBackend('cpu')
})

describe.each([
  ['fused', activation, gatedActivation],
  ['composite', activationComposite, gatedActivationComposite],
])('%s activations', (_, act, gatedAct) => {
  // Reference values: x * Phi(x) with erf to 15 digits, and the formulas evaluated in float64.
  it.each([
    ['gelu', [-0.15865525, 0, 0.84134475, 2.9959503]],
    ['gelu_tanh', [-0.15880801, 0, 0.84119199, 2.9963627]],
    ['silu', [-0.26894142, 0, 0.73105858, 2.8577224]],
    ['relu', [0, 0, 1, 3]],
  ] as const)('%s has its known values', (kind, expected) => {
    const x = tensor2d([[-1, 0, 1, 3]])
    take(act(x, kind)).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 6))
    x.dispose()
  })

  it('gated kinds multiply the activated first half by the second', () => {
    const gateUp = tensor2d([
      [1, 3, 2, -4],
      [-1, 0, 10, 7],
    ])
    const silu = take(gatedAct(gateUp, 'silu'))
    const expected = [0.73105858 * 2, 2.8577224 * -4, -0.26894142 * 10, 0]
    silu.forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 5))
    gateUp.dispose()
  })

  it('swiglu_oss clamps gate from above and up on both sides', () => {
    const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x))
    const gateUp = tensor2d([[9, -9, 1, 9, -9, 0.5]])
    const expected = [(7 + 1) * 7 * sigmoid(1.702 * 7), (-7 + 1) * -9 * sigmoid(1.702 * -9), 1.5 * sigmoid(1.702)]
    take(gatedAct(gateUp, 'swiglu_oss')).forEach((value, i) => expect(value).toBeCloseTo(expected[i]!, 4))
    gateUp.dispose()
  })
})
