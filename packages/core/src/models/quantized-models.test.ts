import { fileURLToPath } from 'node:url'
import { createBackend } from '../backends/backend.ts'
import { describeQuantizedModels } from './quantized-models.case.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

for (const backend of ['cpu', 'wasm']) {
  describeQuantizedModels(backend, { fixtures, createPack: async () => (await createBackend(backend)).pack })
}
