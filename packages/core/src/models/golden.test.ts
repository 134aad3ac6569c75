import { fileURLToPath } from 'node:url'
import { createBackend } from '../backends/backend.ts'
import { describeGolden } from './golden.case.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))

for (const backend of ['cpu', 'wasm']) {
  describeGolden(backend, { fixtures, createPack: async () => (await createBackend(backend)).pack })
}
