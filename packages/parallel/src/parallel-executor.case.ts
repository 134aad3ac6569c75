import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type EngineInfo, LLM } from '@octavo/core'
import { expect } from 'vitest'
import { parallelExecutor } from './executor-module.ts'
import type { ParallelOptions } from './parallel-option-table.ts'

interface GoldenOutput {
  readonly ids: number[]
  readonly greedy_ids: readonly number[]
}

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))

/** Greedy tokens of all golden prompts, together in one engine, are those that the reference gave; returns who held what. */
export async function expectGoldenTokens(fixture: string, parallel: ParallelOptions): Promise<EngineInfo> {
  const golden = goldenOf(fixture)
  const llm = await LLM.load(`${fixtures}${fixture}`, {
    backend: 'cpu',
    kvCacheMemory: '64MiB',
    generationConfig: 'octavo',
    modules: [parallelExecutor(parallel)],
  })
  try {
    const maxTokens = 24
    const outputs = await llm.generate(
      golden.map(({ ids }) => ids),
      { temperature: 0, maxTokens, ignoreEos: true },
    )
    const expected = golden.map(({ greedy_ids: ids }) => ids.slice(0, maxTokens))
    expect(outputs.map(({ outputs: [output] }) => output?.tokenIds)).toEqual(expected)
    return llm.engine.info
  } finally {
    await llm.shutdown()
  }
}

function goldenOf(fixture: string): readonly GoldenOutput[] {
  const read = (file: string): unknown => JSON.parse(readFileSync(`${fixtures}${file}`, 'utf8'))
  if (!fixture.endsWith('.gguf'))
    return (read(`${fixture}/golden.json`) as { readonly prompts: readonly GoldenOutput[] }).prompts
  const { files } = read('gguf/golden.json') as { readonly files: readonly { file: string; outputs: GoldenOutput[] }[] }
  return files.find(({ file }) => fixture.endsWith(`/${file}`))?.outputs ?? []
}
