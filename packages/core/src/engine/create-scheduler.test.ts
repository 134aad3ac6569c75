import { describe, expect, it } from 'vitest'
import { resolveEngineConfig } from '../config/engine-config.ts'
import { createScheduler } from './create-scheduler.ts'

describe('createScheduler', () => {
  const config = resolveEngineConfig({ model: 'm', maxNumBatchedTokens: 64, maxNumSeqs: 4 })
  const info = { maxModelLen: 200, numBlocks: 100, blockSize: 16 }

  it('has the limits of the options for what goes on where it stopped', () => {
    expect(createScheduler(config, info).config).toMatchObject({
      maxNumBatchedTokens: 64,
      enableChunkedPrefill: true,
      enablePrefixCaching: true,
    })
  })

  it('gives an encoder a step that holds its longest prompt, and no prefix cache', () => {
    const encoder = { ...info, needsWholePrompts: true }
    const expected = { maxNumBatchedTokens: 200, enableChunkedPrefill: false, enablePrefixCaching: false }
    expect(createScheduler(config, encoder).config).toMatchObject(expected)
    const roomy = resolveEngineConfig({ model: 'm', maxNumBatchedTokens: 512, maxNumSeqs: 4 })
    expect(createScheduler(roomy, encoder).config.maxNumBatchedTokens).toBe(512)
  })
})
