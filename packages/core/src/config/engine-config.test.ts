import { describe, expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { resolveEngineConfig } from './engine-config.ts'
import type { EngineOptions } from './engine-options.ts'

describe('resolveEngineConfig', () => {
  it('fills defaults and freezes', () => {
    const config = resolveEngineConfig({ model: 'octavo-tiny', maxNumSeqs: undefined })
    expect(config).toMatchObject({
      model: { model: 'octavo-tiny', maxModelLen: null },
      cache: { blockSize: 16, kvCacheMemory: { fractionOfFree: 0.4 } },
      scheduler: { maxNumSeqs: 64 },
      serving: { servedModelName: ['octavo-tiny'] },
    })
    expect(Object.values(config).every((group) => Object.isFrozen(group))).toBe(true)
    expect(Object.isFrozen(config)).toBe(true)
  })

  it.each([
    [1_000_000, { bytes: 1_000_000 }],
    ['2GiB', { bytes: 2 * 1024 ** 3 }],
    ['512 MB', { bytes: 512e6 }],
    ['1.5g', { bytes: 1.5 * 1024 ** 3 }],
    ['12.5%', { fractionOfFree: 0.125 }],
  ])('reads kvCacheMemory %j', (kvCacheMemory, expected) => {
    expect(resolveEngineConfig({ model: 'm', kvCacheMemory }).cache.kvCacheMemory).toEqual(expected)
  })

  it.each<[string, Record<string, unknown>]>([
    ['model', { model: '' }],
    ['maxNumSeq', { maxNumSeq: 3 }],
    ['dtype', { dtype: 'int8' }],
    ['maxNumSeqs', { maxNumSeqs: 0 }],
    ['maxNumSeqs', { maxNumSeqs: '8' }],
    ['maxNumBatchedTokens', { maxNumBatchedTokens: 32 }],
    ['maxNumBatchedTokens', { maxModelLen: 2048, enableChunkedPrefill: false }],
    ['maxModelLen', { maxModelLen: 1 }],
    ['kvCacheMemory', { kvCacheMemory: '0%' }],
    ['kvCacheMemory', { kvCacheMemory: '96%' }],
    ['kvCacheMemory', { kvCacheMemory: '3 bananas' }],
    ['kvCacheMemory', { kvCacheMemory: -1 }],
    ['seed', { seed: -1 }],
    ['servedModelName', { servedModelName: [] }],
    ['revision', { revision: '' }],
    ['backend', { backend: null }],
    ['chatTemplate', { chatTemplate: 7 }],
    ['enablePrefixCaching', { enablePrefixCaching: 'no' }],
    ['enableChunkedPrefill', { enableChunkedPrefill: 0 }],
    ['kvCacheMemory', { kvCacheMemory: null }],
    ['longPrefillTokenThreshold', { longPrefillTokenThreshold: -1 }],
    ['schedulingPolicy', { schedulingPolicy: 'sjf' }],
    ['warmup', { warmup: 'always' }],
    ['warmup', { warmup: 1 }],
    ['generationConfig', { generationConfig: 'vllm' }],
    ['maxLogprobs', { maxLogprobs: -2 }],
    ['blockSize', { blockSize: 0 }],
  ])('refuses a bad %s: %j', (option, options) => {
    const call = (): unknown => resolveEngineConfig({ model: 'm', ...options } as EngineOptions)
    expect(call).toThrow(InvalidConfigError)
    expect(call).toThrow(new RegExp(`^${option}: `))
  })

  it.each([
    ['maxNumSeq', 'did you mean maxNumSeqs?'],
    ['tensorParallelSize', 'the package octavo takes it as parallel: { tp }'],
    ['gpuMemoryUtilization', 'kvCacheMemory says it for the KV cache'],
    ['toString', 'the known ones are backend, blockSize,'],
  ])('says what to write instead of %s', (option, remedy) => {
    const call = (): unknown => resolveEngineConfig({ model: 'm', [option]: 1 } as EngineOptions)
    expect(call).toThrow(`${option}: is not an option; ${remedy}`)
  })
})
