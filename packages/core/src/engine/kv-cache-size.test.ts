import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import type { EngineOptions } from '../config/engine-options.ts'
import { InsufficientMemoryError, InvalidConfigError } from '../errors.ts'
import { kvBytesPerToken, type KvDType } from '../tensor/kv-storage.ts'
import { checkMaxModelLen, checkWeightsFit, kvBudget, sizeKvCache } from './kv-cache-size.ts'

const shape = { numLayers: 2, numKvHeads: 2, headDim: 64 } // 2 KiB per token, 32 KiB per block of 16
const alone = { numLocalWorkers: 1 }
const size = (
  { kvCacheDtype, ...options }: Partial<EngineOptions> & { kvCacheDtype?: KvDType },
  availableBytes: number,
  backendBytes: number | null = null,
) => {
  const config = resolveEngineConfig({ model: 'm', ...options })
  const availableKvBytes = kvBudget(config.cache.kvCacheMemory, { availableBytes, backendBytes }, alone)
  const bytesPerToken = kvBytesPerToken({ ...shape, dtype: kvCacheDtype ?? 'float32' })
  return sizeKvCache(config, [{ kvBytesPerToken: bytesPerToken, maxPositions: 4096, availableKvBytes }])
}

describe('sizeKvCache', () => {
  it('takes its share of free memory', () => {
    expect(size({ kvCacheMemory: '50%', maxNumSeqs: 256, maxNumBatchedTokens: 256 }, 64 * 1024 ** 2)).toEqual({
      numBlocks: 1024,
      maxModelLen: 4096,
      kvCacheBytes: 32 * 1024 ** 2,
    })
  })

  it('reserves no more than maxNumSeqs contexts can use', () => {
    expect(size({ maxNumSeqs: 2, maxModelLen: 100 }, 2 ** 40).numBlocks).toBe(2 * 7 + 1)
  })

  it('counts blocks of a model that keeps nothing, whatever memory there is', () => {
    const config = resolveEngineConfig({ model: 'm', maxNumSeqs: 3, maxModelLen: 40 })
    expect(sizeKvCache(config, [{ kvBytesPerToken: 0, maxPositions: 512, availableKvBytes: 0 }])).toEqual({
      numBlocks: 3 * 3 + 1,
      maxModelLen: 40,
      kvCacheBytes: 0,
    })
  })

  it('counts what a dtype takes', () => {
    const numBlocks = (kvCacheDtype: KvDType): number =>
      size({ kvCacheMemory: '50%', maxNumSeqs: 512, kvCacheDtype }, 64 * 1024 ** 2).numBlocks
    expect(numBlocks('bfloat16')).toBe(2 * numBlocks('float32'))
    expect(numBlocks('int8')).toBe(Math.floor((4 * 64 * numBlocks('float32')) / (64 + 4)))
    const { numBlocks: blocks, kvCacheBytes } = size({ kvCacheMemory: '50%', kvCacheDtype: 'int8' }, 1024 ** 2)
    expect(kvCacheBytes).toBe(blocks * 16 * 2 * 2 * 2 * (64 + 4))
  })

  it('cuts an automatic context to what fits', () => {
    expect(size({ kvCacheMemory: 1024 ** 2 }, 2 ** 40).maxModelLen).toBe(31 * 16)
  })

  it('refuses a context that was asked for and does not fit, with the numbers', () => {
    const call = (): unknown => size({ kvCacheMemory: 1024 ** 2, maxModelLen: 4096 }, 2 ** 40)
    expect(call).toThrow(InsufficientMemoryError)
    expect(call).toThrow(/4096 tokens takes 8\.03 MiB, but 1\.00 MiB .*Lower maxModelLen to at most 496/)
  })

  it('refuses a model that holds hardly any context', () => {
    expect(() => size({ kvCacheMemory: 64 * 1024 }, 2 ** 40)).toThrow(InsufficientMemoryError)
  })

  it('stays within the backend', () => {
    expect(size({ kvCacheMemory: '95%', maxNumSeqs: 256 }, 2 ** 40, 8 * 1024 ** 2).kvCacheBytes).toBe(8 * 1024 ** 2)
    expect(() => size({ kvCacheMemory: '16MiB' }, 2 ** 40, 8 * 1024 ** 2)).toThrow(/only 8\.00 MiB are left/)
  })
})

describe('checkMaxModelLen', () => {
  it('refuses a context beyond the positions of the model', () => {
    expect(() => checkMaxModelLen({ maxModelLen: 8192 }, 4096)).toThrow(InvalidConfigError)
    expect(() => checkMaxModelLen({ maxModelLen: 4096 }, 4096)).not.toThrow()
    expect(() => checkMaxModelLen({ maxModelLen: null }, 4096)).not.toThrow()
  })
})

describe('ranks', () => {
  it('get the blocks that the least of them holds', () => {
    const config = resolveEngineConfig({ model: 'm', maxNumSeqs: 512, maxNumBatchedTokens: 512 })
    const rank = { kvBytesPerToken: 1024, maxPositions: 4096, availableKvBytes: 64 * 1024 ** 2 }
    const [small, thick] = [
      { ...rank, availableKvBytes: 16 * 1024 ** 2 },
      { ...rank, kvBytesPerToken: 8192 },
    ]
    expect(sizeKvCache(config, [rank, small, rank])).toMatchObject({
      numBlocks: 1024,
      kvCacheBytes: 3 * 16 * 1024 ** 2,
    })
    expect(sizeKvCache(config, [rank, small, thick])).toMatchObject({ numBlocks: 512, kvCacheBytes: 512 * 16 * 10_240 })
  })

  it('on one machine share what the option names', () => {
    const memory = { availableBytes: 1000, backendBytes: null }
    expect(kvBudget({ bytes: 1200 }, memory, { numLocalWorkers: 4 })).toBe(300)
    expect(() => kvBudget({ bytes: 8000 }, memory, { numLocalWorkers: 4 })).toThrow(/1\.95 KiB on each of 4 ranks/)
  })
})

describe('checkWeightsFit', () => {
  it('names both sizes', () => {
    expect(() =>
      checkWeightsFit('model.gguf', 3 * 1024 ** 3, { availableBytes: 2 * 1024 ** 3, backendBytes: null }),
    ).toThrow(/take 3\.00 GiB, but free memory is 2\.00 GiB/)
    expect(() =>
      checkWeightsFit('model.gguf', 5 * 1024 ** 3, { availableBytes: 2 ** 40, backendBytes: 4 * 1024 ** 3 }),
    ).toThrow(/this backend can hold at most 4\.00 GiB/)
  })
})
