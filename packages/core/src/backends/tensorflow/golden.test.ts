import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { it } from 'vitest'
import { describeGolden } from '../../models/golden.case.ts'
import { describePooling } from '../../models/pooling.case.ts'
import type { BackendPack } from '../backend-pack.ts'
import { skipReason } from './tensorflow-available.case.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

const fixtures = fileURLToPath(new URL('../../../../../fixtures/', import.meta.url))

/** Quantized weights are dequantized by the same ops whatever computes with them. */
const kinds = ['gguf'] as const

/** Every feature of attention, norms, activations and experts in turn; each family computes by the same ops. */
const folders = ['gemma2', 'gpt-oss', 'gpt2', 'llama', 'qwen3-moe'] as const

/** Those of 16 bits are in fixtures/README.md too. */
const variants = [
  { dtype: 'float32', fusedOps: true },
  { dtype: 'float32', fusedOps: false, kinds, folders },
  { dtype: 'bfloat16', fusedOps: true, tolerance: 8e-2 },
  { dtype: 'float16', fusedOps: true, tolerance: 2e-2, kinds, folders },
] as const

if (skipReason === null) {
  for (const { dtype, fusedOps, ...options } of variants) {
    const name = `tensorflow, ${dtype}, fused ops: ${fusedOps}`
    const createPack = async (): Promise<BackendPack> => {
      const pack = await createTensorflowPack({ dtype, fusedOps })
      await setBackend(pack.name)
      return pack
    }
    describeGolden(name, { fixtures, ...options, createPack })
    describePooling(name, { fixtures, ...('tolerance' in options && { tolerance: options.tolerance }), createPack })
  }
} else it.skip(`golden data on tensorflow: ${skipReason}`, () => {})
