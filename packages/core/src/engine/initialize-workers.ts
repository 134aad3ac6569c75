import type { EngineConfig } from '../config/engine-config.ts'
import { assert } from '../util/assert.ts'
import type { EngineInfo } from './engine-info.ts'
import { sizeKvCache } from './kv-cache-size.ts'
import type { Worker } from './worker.ts'

/**
 * Brings the ranks of one model to where they can execute: all load; then each says what it may give to the KV cache,
 * and all get as many blocks as the least of them holds, since a block's id means the same on every rank.
 */
export async function initializeWorkers(
  workers: readonly Pick<Worker, 'load' | 'availableKvBytes' | 'createKvCache' | 'warmUp'>[],
  config: EngineConfig,
): Promise<EngineInfo> {
  const loaded = await Promise.all(workers.map((worker) => worker.load()))
  const available = await Promise.all(workers.map((worker) => worker.availableKvBytes()))
  const size = sizeKvCache(
    config,
    loaded.map((model, rank) => ({ ...model, availableKvBytes: available[rank]! })),
  )
  await Promise.all(workers.map((worker) => worker.createKvCache(size.numBlocks)))
  const warmups = await Promise.all(workers.map((worker) => worker.warmUp(size.maxModelLen)))
  const [first] = loaded
  assert(first !== undefined, 'an executor without workers')
  return {
    ...size,
    backend: first.backend,
    isBatchInvariant: loaded.every((model) => model.isBatchInvariant),
    weightBytes: loaded.reduce((total, model) => total + model.weightBytes, 0),
    kvCacheDtype: first.kvCacheDtype,
    blockSize: config.cache.blockSize,
    ...(first.needsWholePrompts && { needsWholePrompts: true }),
    warmup: warmups[0] ?? null,
    ranks: loaded.map(({ layers, numKvHeads, weightBytes, kvBytesPerToken }) => ({
      host: null,
      layers,
      numKvHeads,
      weightBytes,
      kvCacheBytes: size.numBlocks * config.cache.blockSize * kvBytesPerToken,
    })),
  }
}
