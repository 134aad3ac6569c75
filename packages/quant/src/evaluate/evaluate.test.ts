import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { InvalidConfigError, OctavoError } from '@octavo/core'
import { memory } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createCoarseCopy } from './coarse-copy.case.ts'
import { evaluate } from './evaluate.ts'
import type { Evaluation } from './evaluation.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/', import.meta.url))
const text = [`${fixtures}evaluation/text.txt`]

interface Golden {
  readonly window: number
  readonly num_tokens: number
  readonly perplexity: number
  readonly coarse_perplexity: number
  readonly kl: { readonly mean: number; readonly p50: number; readonly p99: number; readonly max: number }
  readonly top1_agreement: number
  readonly layer_errors: readonly number[]
}

const golden = JSON.parse(readFileSync(`${fixtures}evaluation/golden.json`, 'utf8')) as Golden
const coarse = createCoarseCopy()
const folder = mkdtempSync(join(tmpdir(), 'octavo-evaluate-'))
afterAll(() => {
  coarse[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

function relativeError(value: number | undefined, expected: number): number {
  return Math.abs((value ?? NaN) / expected - 1)
}

const rowFolders = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('octavo-rows-'))

/** Those of runs that were killed. */
const foldersBefore = rowFolders()

describe('evaluate', () => {
  let evaluation: Evaluation
  beforeAll(async () => {
    evaluation = await evaluate({
      models: [coarse.path, 'octavo-tiny'],
      against: 'octavo-tiny',
      text,
      data: ['translation', 'summarization', 'tools'].map((set) => `${fixtures}octavo-tiny-eval/${set}.jsonl`),
      maxItems: 12,
      windowTokens: golden.window,
      layerTokens: 1_000_000,
      speed: false,
      cacheMemory: 1_000_000, // most of the hidden states go to a file
      backend: 'wasm',
    })
  })

  it('finds what transformers finds', () => {
    const { original, models } = evaluation
    const [worse] = models
    const found = worse!.divergences[0]!
    expect(original.texts[0]).toMatchObject({ name: 'text.txt', numTokens: golden.num_tokens })
    expect(relativeError(original.texts[0]!.perplexity.value, golden.perplexity)).toBeLessThan(1e-5)
    expect(relativeError(worse!.texts[0]!.perplexity.value, golden.coarse_perplexity)).toBeLessThan(1e-5)
    expect(relativeError(found.perplexityRatio.value, golden.coarse_perplexity / golden.perplexity)).toBeLessThan(1e-5)
    const { mean, p50, p99, max, top1Agreement } = found.divergence
    for (const [value, expected] of [
      [mean.value, golden.kl.mean],
      [p50, golden.kl.p50],
      [p99, golden.kl.p99],
      [max, golden.kl.max],
    ] as const)
      expect(relativeError(value, expected)).toBeLessThan(1e-4)
    expect(top1Agreement.value).toBeCloseTo(golden.top1_agreement, 2)
    expect(mean.low).toBeLessThan(mean.value)
    expect(mean.high).toBeGreaterThan(mean.value)
  })

  it('finds nothing between a model and itself', () => {
    const [, same] = evaluation.models
    for (const { divergence, perplexityRatio } of same!.divergences) {
      expect(divergence).toMatchObject({ mean: { value: 0 }, max: 0, top1Agreement: { value: 1 } })
      expect(perplexityRatio).toEqual({ value: 1, low: 1, high: 1 })
    }
    expect(same!.layerErrors).toEqual([0, 0, 0, 0, 0])
    expect(same!.texts).toEqual(evaluation.original.texts)
    expect(same!.tasks).toEqual(evaluation.original.tasks)
    for (const { difference, isWithinOriginal } of same!.taskComparisons) {
      expect(difference).toEqual({ value: 0, low: 0, high: 0 })
      expect(isWithinOriginal).toBe(true)
    }
  })

  it('scores tasks per set and over all, and answers as a corpus of their own', () => {
    const { original, models } = evaluation
    expect(original.tasks.map(({ name, numItems, metric }) => [name, numItems, metric])).toEqual([
      ['translation', 12, 'exact'],
      ['summarization', 12, 'f1'],
      ['tools', 12, null],
      ['all', 36, null],
    ])
    expect(original.tasks[3]!.score.value).toBeCloseTo(
      original.tasks.slice(0, 3).reduce((sum, { score }) => sum + score.value, 0) / 3,
      12,
    )
    expect(original.tasks[3]!.score.value).toBeGreaterThan(0.9)
    expect(models[0]!.divergences.map(({ name }) => name)).toEqual(['text.txt', 'answers'])
    expect(models[0]!.divergences[1]!.divergence.mean.value).toBeGreaterThan(0)
    expect(models[0]!.weightBytes).toBe(original.weightBytes)
    expect(original.fileBytes).toBeGreaterThan(6e6)
  })

  it('leaves no tensor and no file behind', () => {
    expect(memory().numTensors).toBe(0)
    expect(rowFolders()).toEqual(foldersBefore)
  })
})

it('measures the error of each layer as torch does', async () => {
  const { models } = await evaluate({
    models: [coarse.path],
    against: 'octavo-tiny',
    text,
    windowTokens: golden.window,
    layerTokens: 1_000_000,
    speed: false,
    backend: 'wasm',
  })
  const errors = models[0]!.layerErrors!
  expect(errors).toHaveLength(golden.layer_errors.length)
  for (const [layer, error] of errors.entries())
    expect(relativeError(error, golden.layer_errors[layer]!)).toBeLessThan(1e-4)
})

it('measures speed and memory, each model in a process of its own', async () => {
  const { original, models } = await evaluate({
    models: [coarse.path],
    against: 'octavo-tiny',
    text,
    maxTextTokens: 64,
    layerErrors: false,
    speedRounds: 1,
    prefillTokens: 64,
    backend: 'wasm',
  })
  for (const { speed } of [original, ...models]) {
    expect(speed).toMatchObject({ prefillTokens: 64, backend: 'wasm' })
    for (const rate of [speed!.prefill, speed!.decode1, speed!.decode16]) expect(rate).toBeGreaterThan(1)
    expect(speed!.peakRssBytes).toBeGreaterThanOrEqual(speed!.rssBytes)
    expect(speed!.rssBytes).toBeGreaterThan(speed!.weightBytes)
  }
  expect(models[0]!.layerErrors).toBeNull()
})

describe('what cannot be evaluated', () => {
  const against = 'octavo-tiny'
  it.each<[string, Parameters<typeof evaluate>[0], string]>([
    ['nothing to evaluate on', { models: ['octavo-tiny'] }, 'give a file of tasks, or a text'],
    ['no model', { models: [], text }, 'name at least one model'],
    ['several without an original', { models: ['a', 'b'], text }, 'say which original'],
    ['a stride beyond the window', { models: ['a'], text, windowTokens: 8, strideTokens: 9 }, 'strideTokens: is 9'],
    ['a missing text', { models: ['octavo-tiny'], text: ['/no/such'] }, '/no/such cannot be read'],
    ['another vocabulary', { models: [`${fixtures}models/llama`], against, text }, 'other tokens than the original'],
  ])('%s', async (_, options, reason) => {
    const run = evaluate({ ...options, speed: false, backend: 'wasm' })
    await expect(run).rejects.toThrow(InvalidConfigError)
    await expect(run).rejects.toThrow(reason)
  })

  it('an item that is too long, which it names', async () => {
    const data = join(folder, 'long.jsonl')
    const items = ['Hello', 'hello '.repeat(3000)].map((prompt) => JSON.stringify({ prompt, answer: 'x' }))
    writeFileSync(data, items.join('\n'))
    const run = evaluate({ models: ['octavo-tiny'], data: [data], maxAnswerTokens: 2, speed: false, backend: 'wasm' })
    await expect(run).rejects.toThrow(/data: item 2 of all: The prompt has at least \d+ tokens/)
  })

  it('an option that there is not', async () => {
    const options = { models: ['octavo-tiny'], text, widowTokens: 5 }
    await expect(evaluate(options)).rejects.toThrow('widowTokens: is no option')
  })

  it('a model that computes NaN', async () => {
    using broken = createCoarseCopy(0xff)
    const file = join(broken.path, 'model.safetensors')
    const bytes = readFileSync(file)
    // The last tensor's last value is an infinity of bfloat16.
    bytes.writeUInt16LE(0x7f80, bytes.length - 2)
    writeFileSync(file, bytes)
    const run = evaluate({ models: [broken.path], against, text, speed: false, backend: 'wasm', maxTextTokens: 64 })
    await expect(run).rejects.toSatisfy(OctavoError.isInstance)
    await expect(run).rejects.toThrow(`${broken.path} computes logits for text.txt that are no distribution (NaN)`)
  })
})
