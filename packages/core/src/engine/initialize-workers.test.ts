import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { initializeWorkers } from './initialize-workers.ts'
import type { Worker } from './worker.ts'

const config = resolveEngineConfig({ model: 'm' })

/** Notes its calls; `delayMs` is how long it loads. */
function fakeWorker(
  rank: number,
  availableKvBytes: number,
  { delayMs = 0, calls }: { delayMs?: number; calls: string[] },
): Worker {
  const note = (call: string): void => void calls.push(`${rank} ${call}`)
  return {
    async load() {
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      note('load')
      return {
        backend: 'fake',
        isBatchInvariant: rank !== 1,
        weightBytes: 100,
        kvCacheDtype: 'float32',
        kvBytesPerToken: 1024,
        maxPositions: 4096,
        layers: { start: 2 * rank, end: 2 * rank + 2 },
        numKvHeads: 4,
      }
    },
    availableKvBytes() {
      note('availableKvBytes')
      return availableKvBytes
    },
    createKvCache: (numBlocks) => note(`createKvCache ${numBlocks}`),
    releaseKvCache() {},
    restoreKvCache() {},
    warmUp(maxModelLen) {
      note(`warmUp ${maxModelLen}`)
      return null
    },
    execute: () => ({ sampled: [], promptLogprobs: [], failed: [] }),
    dispose() {},
  }
}

describe('initializeWorkers', () => {
  it('asks for memory once all have loaded, and gives all the blocks of the least', async () => {
    const calls: string[] = []
    const workers = [fakeWorker(0, 64 * 1024 ** 2, { calls }), fakeWorker(1, 8 * 1024 ** 2, { calls, delayMs: 20 })]
    expect(await initializeWorkers(workers, config)).toEqual({
      numBlocks: 512,
      blockSize: 16,
      maxModelLen: 4096,
      kvCacheBytes: 2 * 8 * 1024 ** 2,
      weightBytes: 200,
      backend: 'fake',
      isBatchInvariant: false,
      kvCacheDtype: 'float32',
      warmup: null,
      ranks: [0, 1].map((rank) => ({
        host: null,
        layers: { start: 2 * rank, end: 2 * rank + 2 },
        numKvHeads: 4,
        weightBytes: 100,
        kvCacheBytes: 8 * 1024 ** 2,
      })),
    })
    expect(calls).toEqual([
      '0 load',
      '1 load',
      '0 availableKvBytes',
      '1 availableKvBytes',
      '0 createKvCache 512',
      '1 createKvCache 512',
      '0 warmUp 4096',
      '1 warmUp 4096',
    ])
  })
})
