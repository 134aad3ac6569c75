import type { EngineModule } from '../config/engine-module.ts'

const source = `export const createExecutor = () => ({
  maxPlansInFlight: 1,
  initialize: async () => ({
    numBlocks: 100, blockSize: 16, maxModelLen: 512, backend: 'fake', isBatchInvariant: true, weightBytes: 0,
    kvCacheBytes: 0, kvCacheDtype: 'float32', warmup: null, ranks: [],
  }),
  executeModel: async ({ scheduled }) => ({
    sampled: scheduled.map(({ id }) => ({ id, tokenIds: [300], logprobs: null })), failed: [], promptLogprobs: [],
  }),
  shutdown: async () => {},
})`

/** Draws token 300, and has no KV cache that it could give back. */
export const executorWithoutRelease: EngineModule = {
  kind: 'executor',
  name: 'fake',
  url: `data:text/javascript,${encodeURIComponent(source)}`,
}
