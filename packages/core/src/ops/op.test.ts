import { add, concat, grad, grads, mul, reshape, setBackend, sum, tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor2D } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { activation } from './activation.ts'
import { RandomData } from './random-data.case.ts'
import { gatedActivation } from './gated-activation.ts'
import { gatedLinear } from './gated-linear.ts'
import { layerNorm } from './layer-norm.ts'
import { linear } from './linear.ts'
import { linearParts } from './linear-parts.ts'
import { moe } from './moe.ts'
import { hasKernel } from './op.ts'
import { addRmsNorm, rmsNorm } from './rms-norm.ts'
import { rotaryEmbedding } from './rotary-embedding.ts'

let pack: BackendPack

beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
  await registerGradients()
})

/** A scalar that weighs every output differently, so that no error cancels out. */
function probe(output: Tensor): Tensor {
  const weights = Float32Array.from({ length: output.size }, (_, i) => Math.sin(1 + i))
  return sum(mul(output, reshape(tensor1d(weights), output.shape)))
}

/** Central differences of `f` at `x`, computed through the fused kernels: no tape is on. */
function numericalGradient(f: (x: Tensor) => Tensor, values: Float32Array, shape: [number, number]): number[] {
  const step = 1e-2
  const valueAt = (i: number, change: number): number => {
    const changed = Float32Array.from(values)
    changed[i] = changed[i]! + change
    return f(tensor2d(changed, shape)).dataSync()[0]!
  }
  return Array.from(values, (_, i) => (valueAt(i, step) - valueAt(i, -step)) / (2 * step))
}

function expectGradient(f: (x: Tensor2D) => Tensor2D, shape: [number, number], seed: number): void {
  const values = new RandomData(seed).floats(shape[0] * shape[1])
  const loss = (x: Tensor): Tensor => probe(f(reshape(x, shape)))
  const analytic = grad(loss)(tensor2d(values, shape)).dataSync()
  numericalGradient(loss, values, shape).forEach((expected, i) =>
    expect(Math.abs(analytic[i]! - expected)).toBeLessThan(5e-3),
  )
}

describe('hasKernel', () => {
  it('knows the active backend, and declines under a gradient tape', () => {
    expect(hasKernel('OctavoRmsNorm')).toBe(true)
    expect(hasKernel('OctavoNothing')).toBe(false)
    let isUsedUnderTape = true
    grad((x: Tensor) => {
      isUsedUnderTape = hasKernel('OctavoRmsNorm')
      return sum(x)
    })(tensor1d([1]))
    expect(isUsedUnderTape).toBe(false)
    expect(hasKernel('OctavoRmsNorm')).toBe(true)
  })
})

describe('gradients under a tape', () => {
  it('of rmsNorm, addRmsNorm and layerNorm', () => {
    const weight = tensor1d([0.5, -1, 2, 0.25, 1, -0.5])
    expectGradient((x) => rmsNorm(x, weight, 1e-5), [3, 6], 1)
    expectGradient((x) => mul<Tensor2D>(addRmsNorm(x, x, weight, 1e-5).normed, 2), [2, 6], 2)
    expectGradient((x) => layerNorm(x, weight, weight, 1e-5), [3, 6], 3)
  })

  it('of linear with respect to x and bias', () => {
    const packed = new RandomData(4).weight(pack, 'bfloat16', [5, 6])
    const bias = tensor1d([1, 2, 3, 4, 5])
    expectGradient((x) => linear(x, packed, bias), [3, 6], 4)
    const [, biasGradient] = grads((x: Tensor, b: Tensor) => sum(linear(reshape(x, [2, 6]), packed, reshape(b, [5]))))([
      tensor2d(new Float32Array(12), [2, 6]),
      bias,
    ])
    expect([...biasGradient!.dataSync()]).toEqual([2, 2, 2, 2, 2])
    packed.dispose()
  })

  it.each(['silu', 'gelu', 'gelu_tanh', 'swiglu_oss'] as const)('of gatedActivation %s', (kind) => {
    expectGradient((x) => gatedActivation(x, kind), [3, 6], 5)
  })

  it('of gatedLinear and linearParts', () => {
    const packed = new RandomData(9).weight(pack, 'float32', [8, 6])
    const bias = new RandomData(10).vector(8)
    expectGradient((x) => gatedLinear(x, packed, { bias, kind: 'silu' }), [3, 6], 9)
    expectGradient((x) => concat(linearParts(x, packed, { bias, widths: [3, 5] }), 1), [3, 6], 10)
    packed.dispose()
  })

  it.each(['silu', 'gelu', 'gelu_tanh'] as const)('of activation %s', (kind) => {
    expectGradient((x) => activation(x, kind), [2, 4], 6)
  })

  it('of rotaryEmbedding', () => {
    const table = new RandomData(7).matrix(9, 4)
    const positions = Int32Array.of(8, 0, 3)
    expectGradient((x) => rotaryEmbedding(x, table, { positions, headDim: 6, rotaryDim: 4 }), [3, 12], 7)
  })

  it('of moe with respect to x and to the router logits', () => {
    const random = new RandomData(8)
    const experts = Array.from({ length: 3 }, () => ({
      gateUp: [random.weight(pack, 'float32', [8, 6])],
      down: random.weight(pack, 'float32', [6, 4]),
      gateUpBias: null,
      downBias: random.floats(6),
    }))
    const options = { experts, topK: 2, scoring: 'softmax', renormalize: true, activation: 'silu' } as const
    const routerLogits = tensor2d([
      [1, 0, -1],
      [-1, 2, 0.5],
    ])
    expectGradient((x) => moe(x, routerLogits, options), [2, 6], 8)
    const x = random.matrix(1, 6)
    // Expert 2 stays clearly behind, so that no difference quotient changes the choice.
    const shift = tensor2d([[0, 0, -3]])
    expectGradient((logits) => moe(x, add<Tensor2D>(logits, shift), options), [1, 3], 9)
    for (const { gateUp, down } of experts) for (const packed of [...gateUp, down]) packed.dispose()
  })
})
