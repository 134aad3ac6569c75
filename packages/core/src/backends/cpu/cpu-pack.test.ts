import { findBackend, tensor1d } from '@tensorflow/tfjs-core'
import { describe, expect, it, vi } from 'vitest'
import { describeAttentionBits } from '../../ops/attention.case.ts'
import { describeOps } from '../../ops/ops.case.ts'
import { createCpuPack } from './cpu-pack.ts'

describeOps('cpu', createCpuPack)
describeAttentionBits(createCpuPack)

describe('createCpuPack', () => {
  it("registers once and silences tfjs's banner", async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    Reflect.set(findBackend('cpu'), 'firstUse', true)
    tensor1d([1, 2]).dispose()
    expect(warn).toHaveBeenCalledOnce() // so the banner is still behind this flag
    Reflect.set(findBackend('cpu'), 'firstUse', true)
    await createCpuPack()
    await createCpuPack()
    tensor1d([1, 2]).dispose()
    expect(warn).toHaveBeenCalledOnce()
    warn.mockRestore()
  })

  it('counts bytes per pack', async () => {
    const [a, b] = [await createCpuPack(), await createCpuPack()]
    const weight = a.packWeight({ format: 'float16', rows: 3, cols: 5 }, () => {})
    expect([a.usedBytes, b.usedBytes]).toEqual([30, 0])
    weight.dispose()
    weight.dispose()
    expect(a.usedBytes).toBe(0)
  })
})
