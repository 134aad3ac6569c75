import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { type EngineInfo, type EngineModule, LLM } from '@octavo/core'
import { createKQuantModel } from '@octavo/core/testing'
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

/** Greedy tokens of a model in K-quants, of which two ranks have a half each, are those of one rank. */
export async function expectSharedKQuants(parallel: Omit<ParallelOptions, 'tp'> = {}): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'octavo-k-quants-'))
  try {
    const model = path.join(folder, 'model.gguf')
    writeFileSync(model, createKQuantModel(fixtures))
    const alone = await tokensOf(model, [])
    expect(new Set(alone.flat()).size).toBeGreaterThan(20)
    expect(await tokensOf(model, [parallelExecutor({ ...parallel, tp: 2 })])).toEqual(alone)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Outputs that a grammar holds are those of one rank. */
export async function expectGrammars(parallel: ParallelOptions): Promise<void> {
  const alone = await constrainedTexts([])
  for (const text of alone) expect(text).toMatch(/^[A-Z][a-z]{2,8} \d{3}$/)
  expect(new Set(alone).size).toBeGreaterThan(3)
  expect(await constrainedTexts([parallelExecutor(parallel)])).toEqual(alone)
}

/**
 * Vectors of prompts that share batches with what generates, in parts: of stages they have the bits of the whole model; where
 * ranks share layers, sums are taken in another order.
 */
export async function expectVectors(fixture: string, parallel: ParallelOptions): Promise<void> {
  const [alone, shared] = [await vectorsOf(fixture, []), await vectorsOf(fixture, [parallelExecutor(parallel)])]
  expect(shared.map(({ length }) => length)).toEqual(alone.map(({ length }) => length))
  if ((parallel.tp ?? 1) === 1) return expect(shared).toEqual(alone)
  const largest = Math.max(...alone.flatMap((vector) => Array.from(vector, Math.abs)))
  shared.forEach((vector, i) =>
    vector.forEach((value, j) => expect(Math.abs(value - alone[i]![j]!)).toBeLessThan(1e-4 * largest)),
  )
}

async function vectorsOf(fixture: string, modules: readonly EngineModule[]): Promise<Float32Array[]> {
  await using llm = await LLM.load(`${fixtures}${fixture}`, {
    backend: 'cpu',
    kvCacheMemory: '64MiB',
    maxNumBatchedTokens: 48,
    maxNumSeqs: 8,
    modules,
  })
  const prompts = [5, 40, 90, 40].map((length) => Array.from({ length }, (_, i) => (i * 37 + length) % 500))
  const { tasks } = llm.engine.models[0]!
  const task = tasks.includes('embed') ? 'embed' : 'classify'
  const tokenTasks = (['token_embed', 'token_classify'] as const).filter((name) => tasks.includes(name))
  const [outputs, ofTokens] = await Promise.all([
    llm.encode(prompts, { task, useActivation: false }),
    Promise.all(tokenTasks.map((name) => llm.encode(prompts, { task: name, useActivation: false }))),
    tasks.includes('generate') ? llm.generate(prompts, { maxTokens: 8, ignoreEos: true }) : [],
  ])
  return [...outputs, ...ofTokens.flat()].map(({ data }) => data)
}

async function constrainedTexts(modules: readonly EngineModule[]): Promise<string[]> {
  await using llm = await LLM.load('octavo-tiny', { backend: 'cpu', kvCacheMemory: '64MiB', modules })
  const params = { maxTokens: 40, temperature: 1, seed: 3, n: 3 }
  const regex = { type: 'regex', pattern: '[A-Z][a-z]{2,8} [0-9]{3}' } as const
  const outputs = await llm.generate(['Hello there', 'What is it?'], { ...params, structuredOutput: regex })
  return outputs.flatMap((output) => output.outputs.map(({ text }) => text))
}

async function tokensOf(model: string, modules: readonly EngineModule[]): Promise<(readonly number[])[]> {
  const llm = await LLM.load(model, {
    backend: 'cpu',
    kvCacheMemory: '64MiB',
    generationConfig: 'octavo',
    modules,
  })
  try {
    const prompts = [[1, 2, 3], [400], [7, 65, 7, 300, 12, 99, 250, 7]]
    const outputs = await llm.generate(prompts, { temperature: 0, maxTokens: 24, ignoreEos: true })
    return outputs.map(({ outputs: [output] }) => output?.tokenIds ?? [])
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
