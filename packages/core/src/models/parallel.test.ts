import { fileURLToPath } from 'node:url'
import { createBackend } from '../backends/backend.ts'
import { describeParallelModels } from './parallel.case.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

for (const backend of ['cpu', 'wasm']) {
  describeParallelModels(backend, { fixtures, createPack: async () => (await createBackend(backend)).pack })
}
