import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { memory } from '@tensorflow/tfjs-core'
import { describe, expect, it } from 'vitest'
import { createBackend } from '../backends/backend.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { singleRank } from '../layers/communicator.ts'
import { ggufConfig } from '../loading/gguf-config.ts'
import { openGguf } from '../loading/gguf.ts'
import { getModelDefinition } from './registry.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/gguf/', import.meta.url))
const { files }: { files: readonly { file: string; tensors: readonly { nbytes: number }[] }[] } = JSON.parse(
  readFileSync(`${fixtures}golden.json`, 'utf8'),
)

describe.each(['cpu', 'wasm'])('on the %s backend', (backend) => {
  // llama-mixed.gguf has q in Q5_0, k in Q5_1 and v in BF16: parts of one fused weight, in three formats.
  it.each(files)(
    'the weights of $file take the bytes that they take in the file, to the byte',
    async ({ file, tensors }) => {
      const { pack } = await createBackend(backend)
      const gguf = openGguf(`${fixtures}${file}`)
      const config = parseModelConfig(ggufConfig(gguf), file)
      const numBytesBefore = memory().numBytes
      const definition = await getModelDefinition(config)
      const model = definition.load({ config, source: gguf.weights, pack, dtype: 'auto', communicator: singleRank })
      gguf.weights.close()
      const stored = tensors.reduce((sum, { nbytes }) => sum + nbytes, 0)
      expect(model.weightBytes).toBe(stored)
      // Norm weights and the rotary table are tensors; matrices lie with the pack.
      const matrixBytes = pack.usedBytes
      expect(matrixBytes).toBeLessThan(stored)
      expect(matrixBytes + memory().numBytes - numBytesBefore).toBeGreaterThanOrEqual(stored)
      model.dispose()
      expect(pack.usedBytes).toBe(0)
      expect(memory().numBytes).toBe(numBytesBefore)
    },
  )
})
