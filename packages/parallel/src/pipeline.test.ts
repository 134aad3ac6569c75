/** The promise of pipelines: tokens, logits and logprobs have the bits of the whole model. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { resolveSamplingParams, type SamplingParamsInput } from '@octavo/core'
import {
  createScheduler,
  EngineCore,
  type Executor,
  InlineExecutor,
  resolveEngineConfig,
  type Sampler,
  type SequenceRequest,
  type SequenceUpdate,
  TokenSampler,
  type WorkerModules,
} from '@octavo/core/engine'
import { openCheckpoint } from '@octavo/core/loading'
import { type LayerRange, type ModelConfig, parseModelConfig } from '@octavo/core/model'
import { memory } from '@tensorflow/tfjs-core'
import { listGoldenFolders } from '@octavo/core/testing'
import { describe, expect, it } from 'vitest'
import { resolveLayerRanges } from './layer-ranges.ts'
import { StagesExecutor } from './stages-executor.case.ts'

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url))
const numTokens = 10

interface Golden {
  readonly prompts: readonly { readonly name: string; readonly ids: number[]; readonly greedy_ids: readonly number[] }[]
}

interface GgufGolden {
  readonly files: readonly {
    readonly file: string
    readonly outputs: readonly { readonly ids: number[]; readonly greedy_ids: readonly number[] }[]
  }[]
}

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(`${fixtures}${file}`, 'utf8')) as T
}

const gguf = readJson<GgufGolden>('gguf/golden.json').files

function requestOf(id: string, promptTokenIds: number[], params: SamplingParamsInput = {}): SequenceRequest {
  return {
    id,
    promptTokenIds,
    params: resolveSamplingParams(
      { temperature: 0, maxTokens: numTokens, ignoreEos: true, ...params },
      { vocabSize: 1e9, maxLogprobs: 20 },
    ),
    eosTokenIds: [],
    priority: 0,
    arrivalTime: 0,
    cacheSalt: null,
    forkOf: null,
  }
}

/** Logits that were sampled from, by the tokens before; `NaN` for whoever has `bad` among them. */
function recordingModules(logitsOf: Map<string, Float32Array>, bad: number | null): Partial<WorkerModules> {
  const sampler = new TokenSampler([
    { apply: (logits, { tokenIds }) => void (bad !== null && tokenIds.includes(bad) && logits.fill(Number.NaN)) },
  ])
  const recording: Sampler = {
    sample(logits, rows) {
      for (const { row, state } of rows) logitsOf.set(state.tokenIds.join(), logits.row(row))
      return sampler.sample(logits, rows)
    },
  }
  return { createSampler: () => recording }
}

interface Run {
  readonly updates: Map<string, Pick<SequenceUpdate, 'newTokenIds' | 'logprobs' | 'promptLogprobs' | 'error'>[]>
  readonly logits: ReadonlyMap<string, Float32Array>
  readonly executor: Executor
}

interface RunOptions {
  readonly path: string
  readonly requests: readonly SequenceRequest[]
  /** `null`: the whole model. */
  readonly ranges: readonly LayerRange[] | null
  /** A token that makes logits NaN. */
  readonly bad?: number
}

async function run({ path, requests, ranges, bad }: RunOptions): Promise<Run> {
  const modelPath = `${fixtures}${path}`
  const config = resolveEngineConfig({
    model: modelPath,
    backend: 'cpu',
    maxModelLen: 192,
    kvCacheMemory: 16 * 1024 ** 2,
    maxNumBatchedTokens: 96,
    maxNumSeqs: 16,
  })
  const logits = new Map<string, Float32Array>()
  const workerModules = recordingModules(logits, bad ?? null)
  const executor =
    ranges === null
      ? new InlineExecutor({ config, modelPath, workerModules })
      : new StagesExecutor({ config, modelPath, ranges, workerModules })
  const info = await executor.initialize()
  const { maxPlansInFlight } = executor
  const core = new EngineCore(createScheduler(config, { ...info, maxPlansInFlight }), executor)
  const updates: Run['updates'] = new Map(requests.map(({ id }) => [id, []]))
  for (const request of requests) core.addSequence(request)
  while (core.hasWork) {
    const step = await core.step()
    if (step.failure !== null) throw step.failure
    for (const { id, newTokenIds, logprobs, promptLogprobs, error } of step.updates)
      updates.get(id)!.push({ newTokenIds, logprobs, promptLogprobs, error: error && { ...error, stack: null } })
  }
  await core.shutdown()
  return { updates, logits, executor }
}

async function configOf(path: string): Promise<ModelConfig> {
  return parseModelConfig((await openCheckpoint(`${fixtures}${path}`)).config, path)
}

function tokensOf({ updates }: Run, id: string): number[] {
  return updates.get(id)!.flatMap(({ newTokenIds }) => newTokenIds)
}

const cases: { path: string; prompts: { ids: number[]; greedy: readonly number[] }[] }[] = [
  ...listGoldenFolders(fixtures).map((family) => ({
    path: `models/${family}`,
    prompts: readJson<Golden>(`models/${family}/golden.json`).prompts.map(({ ids, greedy_ids: greedy }) => ({
      ids,
      greedy,
    })),
  })),
  ...gguf.map(({ file, outputs }) => ({
    path: `gguf/${file}`,
    prompts: outputs.map(({ ids, greedy_ids: greedy }) => ({ ids, greedy })),
  })),
]

describe('a model in stages', () => {
  it.for(cases)('$path gives the bits of the whole', async ({ path, prompts }, { skip }) => {
    const config = await configOf(path)
    if (config.numLayers < 2) skip('it has a single layer')
    const { numTensors } = memory()
    const requests = prompts.flatMap(({ ids }, i) => [
      requestOf(`p${i}`, ids, { logprobs: 3, ...(i === 1 && { promptLogprobs: 2 }) }),
      requestOf(`drawn${i}`, [...ids, 7], { temperature: 1, seed: i }),
    ])
    const whole = await run({ path, requests, ranges: null })
    prompts.forEach(({ greedy }, i) =>
      expect(tokensOf(whole, `p${i}`).slice(0, greedy.length)).toEqual(greedy.slice(0, numTokens)),
    )
    expect(whole.logits.size).toBeGreaterThanOrEqual(requests.length * numTokens * 0.9)
    for (const numStages of [2, 3].filter((n) => n <= config.numLayers)) {
      const staged = await run({ path, requests, ranges: resolveLayerRanges(config, { numStages }) })
      expect(staged.updates).toEqual(whole.updates)
      expect(staged.logits).toEqual(whole.logits)
      const { planSizes } = staged.executor as StagesExecutor
      const decoding = planSizes.slice(-4 * numStages, -numStages)
      expect(Math.max(...decoding)).toBeLessThanOrEqual(Math.ceil(requests.length / numStages))
    }
    expect(memory().numTensors).toBe(numTensors)
  })

  it('fails a sequence alone, whether a token has no embedding or its logits are NaN', async () => {
    const path = 'models/llama'
    const bad = 123
    const good = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % 120)
    const requests = [
      requestOf('good', [...good, 3]),
      requestOf('beyond', [...good, 123_456, 7]), // beside a sequence that shares its first blocks
      requestOf('nan', [...good, bad]),
      requestOf('also good', [5, 6, 7]),
    ]
    const whole = await run({ path, requests, ranges: null, bad })
    const config = await configOf(path)
    for (const numStages of [2, 3]) {
      const staged = await run({ path, requests, ranges: resolveLayerRanges(config, { numStages }), bad })
      expect(staged.updates).toEqual(whole.updates)
      expect(staged.updates.get('beyond')).toMatchObject([{ newTokenIds: [], error: { name: 'InvalidRequestError' } }])
      expect(staged.updates.get('nan')).toMatchObject([{ newTokenIds: [], error: { name: 'InvalidLogitsError' } }])
      for (const id of ['good', 'also good']) expect(tokensOf(staged, id)).toHaveLength(numTokens)
    }
  })
})
