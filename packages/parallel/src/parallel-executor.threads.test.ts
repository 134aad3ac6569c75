import { fileURLToPath } from 'node:url'
import { LLM } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { parallelExecutor } from './executor-module.ts'
import type { ParallelOptions } from './parallel-option-table.ts'

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/models/${name}`, import.meta.url))

const prompts = [
  [1, 2, 3, 4, 5],
  [7, 8, 9],
  [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5],
]

async function tokensOf(model: string, parallel: ParallelOptions | null): Promise<number[][]> {
  const llm = await LLM.load(model, {
    backend: 'cpu',
    kvCacheMemory: '64MiB',
    generationConfig: 'octavo',
    modules: parallel === null ? [] : [parallelExecutor(parallel)],
  })
  try {
    const outputs = await llm.generate(prompts, { temperature: 0, maxTokens: 12, ignoreEos: true })
    return outputs.map(({ outputs: [output] }) => [...(output?.tokenIds ?? [])])
  } finally {
    await llm.shutdown()
  }
}

describe('ranks as threads', () => {
  it('tp 2', async () => {
    const model = fixture('llama')
    expect(await tokensOf(model, { tp: 2 })).toEqual(await tokensOf(model, null))
  })
})
