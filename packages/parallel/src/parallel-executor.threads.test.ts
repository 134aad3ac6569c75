import { describe, expect, it } from 'vitest'
import { expectGoldenTokens, expectGrammars, expectSharedKQuants, expectVectors } from './parallel-executor.case.ts'
import type { ParallelOptions } from './parallel-option-table.ts'

describe('ranks as threads', () => {
  it.each([
    ['models/olmo2', { tp: 4 }],
    ['models/llama', { pp: 3, layerSplit: [1, 1, 1] }],
    ['models/gemma2', { tp: 2, pp: 2 }],
    ['models/qwen3-moe', { ep: 2 }],
    ['models/mixtral', { tp: 2, ep: 2, pp: 2 }],
    ['gguf/llama-q8_0.gguf', { tp: 2 }],
  ] satisfies [string, ParallelOptions][])('%s with %j gives the golden tokens', async (fixture, parallel) => {
    const { tp = 1, pp = 1, ep = 1 }: ParallelOptions = parallel
    const { ranks, weightBytes } = await expectGoldenTokens(fixture, parallel)
    expect(ranks).toHaveLength(Math.max(tp, ep) * pp)
    expect(ranks.reduce((sum, rank) => sum + rank.weightBytes, 0)).toBe(weightBytes)
  })

  it('share K-quants', () => expectSharedKQuants())

  it.each([{ tp: 2 }, { pp: 2 }] satisfies ParallelOptions[])('%j: outputs are held to grammars', expectGrammars)

  it.each([
    ['models/llama', { pp: 3 }],
    ['models/qwen3', { tp: 2 }],
    ['models/qwen3-seqcls', { tp: 2, pp: 2 }],
    ['models/bert-embed', { tp: 2 }],
  ] satisfies [string, ParallelOptions][])('%s with %j gives the vectors of one rank', expectVectors)
})
