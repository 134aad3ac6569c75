import { gatedLinearKernel, linearPartsKernel } from '@octavo/core/backend'
import { describeOps } from '@octavo/core/testing'
import { getKernel } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { skipReason, testedAddon, testedIsas } from './tested-isas.case.ts'

for (const isa of testedIsas) {
  describe(isa, () => {
    describeOps(`native, ${isa}`, () => createNativePack({ activations: 'float32', isa, threads: 2 }))

    it('has the products that core can also put together', async () => {
      await createNativePack({ isa, threads: 2 })
      for (const name of [gatedLinearKernel, linearPartsKernel]) expect(getKernel(name, 'native')).toBeDefined()
    })

    it('ran on this instruction set', () => expect(testedAddon?.isa()).toBe(isa))
  })
}

if (skipReason !== null) {
  it('says why the backend cannot run', () => expect(createNativePack()).rejects.toThrow(skipReason))
}
