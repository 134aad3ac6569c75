import { describe, expect, it } from 'vitest'
import { InvalidConfigError } from '../errors.ts'
import { resolveSchedulerConfig, type SchedulerConfigInput } from './scheduler-config.ts'

const base: SchedulerConfigInput = { numBlocks: 100, maxModelLen: 1000 }

function refusedOption(overrides: Partial<SchedulerConfigInput>): string | null {
  try {
    resolveSchedulerConfig({ ...base, ...overrides })
    return null
  } catch (error) {
    return error instanceof InvalidConfigError ? error.option : String(error)
  }
}

describe('resolveSchedulerConfig', () => {
  it('fills defaults and freezes', () => {
    const config = resolveSchedulerConfig(base)
    expect(config).toMatchObject({
      blockSize: 16,
      policy: { name: 'fcfs' },
      enablePrefixCaching: true,
      enableChunkedPrefill: true,
      watermark: 0,
    })
    expect(Object.isFrozen(config)).toBe(true)
  })

  it.each<[string, Partial<SchedulerConfigInput>]>([
    ['numBlocks', { numBlocks: 1 }],
    ['blockSize', { blockSize: 0 }],
    ['maxModelLen', { maxModelLen: Number.NaN }],
    ['maxNumSeqs', { maxNumSeqs: 1.5 }],
    ['watermark', { watermark: 1 }],
    ['policy', { policy: 'lifo' as 'fcfs' }],
    ['longPrefillTokenThreshold', { longPrefillTokenThreshold: -1 }],
    ['maxPlansInFlight', { maxPlansInFlight: 0 }],
    ['maxNumBatchedTokens', { maxNumBatchedTokens: 8, maxNumSeqs: 9 }],
    ['maxNumBatchedTokens', { enableChunkedPrefill: false, maxNumBatchedTokens: 999 }],
  ])('refuses a wrong %s', (option, overrides) => {
    expect(refusedOption(overrides)).toBe(option)
  })

  it('accepts the limits themselves', () => {
    expect(refusedOption({ enableChunkedPrefill: false, maxNumBatchedTokens: 1000, maxNumSeqs: 1000 })).toBeNull()
  })
})
