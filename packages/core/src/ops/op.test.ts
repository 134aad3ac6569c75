import { customGrad, grad, mul, setBackend, sum, tensor1d, tensor2d } from '@tensorflow/tfjs-core'
import type { Tensor, Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { registerGradients } from '../tensor/register-gradients.ts'
import { hasKernel, isTapeOn, runOp } from './op.ts'
import { rmsNorm, rmsNormKernel } from './rms-norm.ts'

beforeAll(async () => {
  await createCpuPack()
  await setBackend('cpu')
  await registerGradients()
})

/** What `observe` sees while a tape records. */
function underTape<T>(observe: () => T): T {
  const seen: T[] = []
  grad((x: Tensor) => {
    seen.push(observe())
    return sum(x)
  })(tensor1d([1]))
  return seen[0]!
}

describe('hasKernel', () => {
  it('knows the active backend, and declines under a gradient tape', () => {
    expect(hasKernel(rmsNormKernel)).toBe(true)
    expect(hasKernel('OctavoNothing')).toBe(false)
    expect(underTape(() => hasKernel(rmsNormKernel))).toBe(false)
    expect(hasKernel(rmsNormKernel)).toBe(true)
  })

  it('agrees inside a custom gradient, where the tape does not look', () => {
    const doubled = customGrad<Tensor1D>((x) => {
      expect([isTapeOn(), hasKernel(rmsNormKernel)]).toEqual([false, true])
      return { value: mul(x as Tensor1D, 2), gradFunc: (dOut) => mul<Tensor1D>(dOut, 2) }
    })
    expect([...grad((x: Tensor) => sum(doubled(x)))(tensor1d([1, 2])).dataSync()]).toEqual([2, 2])
    expect.assertions(2)
  })
})

describe('runOp', () => {
  it('refuses a tape, which would not see the kernel', () => {
    const [x, weight] = [tensor2d([[1, 2]]), tensor1d([1, 1])]
    const run = (): Tensor2D => runOp<Tensor2D>(rmsNormKernel, { x, weight }, { epsilon: 1e-5 })
    expect(run().shape).toEqual([1, 2])
    underTape(() => expect(run).toThrow('a kernel ran under a gradient tape'))
    expect(underTape(() => rmsNorm(x, weight, 1e-5).shape)).toEqual([1, 2])
  })
})
