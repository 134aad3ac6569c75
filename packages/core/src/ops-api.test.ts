import { setBackend, type Tensor1D, tensor1d, tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { createCpuPack } from './backends/cpu/cpu-pack.ts'
import * as ops from './ops-api.ts'

describe('@octavo/core/ops', () => {
  it('has the types of every op', () => {
    expectTypeOf(ops.rmsNorm).toEqualTypeOf<(x: Tensor2D, weight: Tensor1D, epsilon: number) => Tensor2D>()
    expectTypeOf(ops.linear).parameters.toEqualTypeOf<[Tensor2D, ops.PackedWeight, Tensor1D | null]>()
    expectTypeOf(ops.attention).parameters.toEqualTypeOf<[ops.AttentionInputs, ops.AttentionAttrs]>()
    expectTypeOf(ops.pagedAttention).parameters.toEqualTypeOf<[Tensor2D, ops.PagedAttentionOptions]>()
    expectTypeOf<ops.PagedAttentionOptions['kv']>().toEqualTypeOf<ops.KvStorage>()
    expectTypeOf<ops.PagedAttentionOptions['metadata']>().toEqualTypeOf<ops.AttentionMetadata>()
    expectTypeOf(ops.sample).returns.toEqualTypeOf<(number | ops.NoToken)[]>()
    expectTypeOf(ops.registerGradients).returns.toEqualTypeOf<Promise<void>>()
  })

  it('computes on the active backend', async () => {
    await createCpuPack()
    await setBackend('cpu')
    const normed = ops.rmsNorm(tensor2d([[3, 4]]), tensor1d([1, 2]), 0)
    const scale = Math.sqrt(12.5)
    expect([...normed.dataSync()]).toEqual([expect.closeTo(3 / scale, 6), expect.closeTo(8 / scale, 6)])
  })
})
