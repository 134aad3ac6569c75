import { fileURLToPath } from 'node:url'
import { createBackend } from '../backends/backend.ts'
import { describePooling } from './pooling.case.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

for (const backend of ['cpu', 'wasm']) {
  describePooling(backend, { fixtures, createPack: async () => (await createBackend(backend)).pack })
}
