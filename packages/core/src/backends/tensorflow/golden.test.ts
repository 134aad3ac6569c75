import { fileURLToPath } from 'node:url'
import { setBackend } from '@tensorflow/tfjs-core'
import { it } from 'vitest'
import { describeGolden } from '../../models/golden.case.ts'
import { skipReason } from './tensorflow-available.case.ts'
import { createTensorflowPack } from './tensorflow-pack.ts'

const fixtures = fileURLToPath(new URL('../../../../../fixtures/', import.meta.url))

/** Those of 16 bits are in fixtures/README.md too. */
const tolerances = [['float32'], ['bfloat16', 8e-2], ['float16', 2e-2]] as const

if (skipReason === null) {
  for (const [dtype, tolerance] of tolerances) {
    describeGolden(`tensorflow, ${dtype}`, {
      fixtures,
      ...(tolerance !== undefined && { tolerance }),
      async createPack() {
        const pack = await createTensorflowPack({ dtype })
        await setBackend(pack.name)
        return pack
      },
    })
  }
} else it.skip(`golden data on tensorflow: ${skipReason}`, () => {})
