import { fileURLToPath } from 'node:url'
import type { BackendPack } from '@octavo/core/backend'
import { setBackend } from '@tensorflow/tfjs-core'
import { describeGolden, describePooling } from '@octavo/core/testing'
import { it } from 'vitest'
import { createNativePack } from './native-pack.ts'
import { skipReason, testedIsas } from './tested-isas.case.ts'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))

/** Every feature of attention, norms, activations and experts in turn. */
const few = { kinds: ['gguf'], folders: ['gemma2', 'gpt-oss', 'gpt2', 'llama', 'qwen3-moe'] } as const

// The best instruction set has the most paths; kernels of all are compared with their composites.
for (const isa of testedIsas) {
  const createPack = async (): Promise<BackendPack> => {
    const pack = await createNativePack({ activations: 'float32', isa, threads: 2 })
    await setBackend(pack.name)
    return pack
  }
  describeGolden(`native, ${isa}`, { fixtures, createPack, ...(isa !== testedIsas.at(-1) && few) })
  describePooling(`native, ${isa}`, { fixtures, createPack })
}

if (skipReason !== null) it.skip(`golden data on native: ${skipReason}`, () => {})
