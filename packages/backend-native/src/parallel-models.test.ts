import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { describeParallelModels } from '@octavo/core/testing'
import { it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { skipReason, testedIsas } from './tested-isas.case.ts'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))

// One instruction set: what ranks add is above the kernels.
for (const isa of testedIsas.slice(-1)) {
  describeParallelModels(`native, ${isa}`, {
    fixtures,
    async createPack() {
      const pack = await createNativePack({ activations: 'float32', isa, threads: 2 })
      await setBackend(pack.name)
      return pack
    },
  })
}

if (skipReason !== null) it.skip(`models on several ranks of native: ${skipReason}`, () => {})
