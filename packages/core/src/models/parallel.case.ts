import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { memory, setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { headSizes } from '../config/parallel-sizes.ts'
import { InvalidConfigError } from '../errors.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { ReplayGroup } from '../layers/replay-group.case.ts'
import { decodeAlone, decodeTogether, errorOf, type Stepper } from './decode.case.ts'
import {
  allGoldenKinds,
  type GoldenFiles,
  type Golden,
  listGoldenFolders,
  loadModel,
  readJson,
} from './golden-models.case.ts'
import type { CausalLM } from './model.ts'
import { createKQuantModel } from './k-quant-model.case.ts'
import { RankRunner } from './rank-runner.case.ts'
import { StepRunner, argmax } from './step-runner.case.ts'

/** Logits on several ranks may differ from one rank's by this share of the largest. */
const tolerance = 1e-4
/** What more than its part of the weights a rank may have: groups of columns are not cut, and these models have few. */
const uneven = 0.15
const numTokens = 3
/** Of the golden ones. */
const numPrompts = 2
const kQuantPrompts = [[1, 2, 3], [400], [7, 65, 7, 300, 12, 99, 250, 7]]
const timeoutMs = 120_000

interface Mesh {
  readonly name: string
  readonly tp: number
  readonly ep: number
}

export interface DescribeParallelOptions {
  /** The folder of golden data, with a slash at its end. */
  readonly fixtures: string
  /** Makes the backend's pack and activates it. */
  readonly createPack: () => Promise<BackendPack>
}

/** Every model family and GGUF type on several ranks against the same on one, the ranks taking turns in one thread. */
export function describeParallelModels(backend: string, { fixtures, createPack }: DescribeParallelOptions): void {
  describe(`models on several ranks of the ${backend} backend`, () => {
    let pack: BackendPack
    const table: string[] = []
    beforeAll(async () => {
      pack = await createPack()
    })
    afterEach(() => expect(pack.usedBytes).toBe(0))
    afterAll(async () => {
      await setBackend('cpu')
      process.stdout.write(['backend | model | ranks | max logit difference / max logit', ...table, ''].join('\n'))
    })

    it.each(listGoldenFolders(fixtures))('%s', { timeout: timeoutMs }, async (folder) => {
      const path = `${fixtures}models/${folder}`
      const { prompts } = readJson<Golden>(`${path}/golden.json`)
      const errors = await compare(path, { pack, prompts: prompts.slice(0, numPrompts).map(({ ids }) => ids) })
      table.push(...errors.map((error) => `${backend} | ${folder} | ${error}`))
    })

    const files = allGoldenKinds.flatMap((kind) =>
      readJson<GoldenFiles>(`${fixtures}${kind}/golden.json`).files.map((golden) => ({ kind, ...golden })),
    )
    it.each(files)('$file', { timeout: timeoutMs }, async ({ kind, file, outputs }) => {
      const errors = await compare(`${fixtures}${kind}/${file}`, {
        pack,
        prompts: outputs.slice(0, numPrompts).map(({ ids }) => ids),
      })
      table.push(...errors.map((error) => `${backend} | ${file} | ${error}`))
    })

    it.each(listGoldenFolders(fixtures, ['embed', 'classify']))('%s', { timeout: timeoutMs }, async (folder) => {
      const path = `${fixtures}models/${folder}`
      const errors = await comparePooling(path, pack)
      table.push(...errors.map((error) => `${backend} | ${folder} | ${error}`))
    })

    it('K-quants, whose blocks allow two ranks', { timeout: timeoutMs }, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'octavo-k-quants-'))
      try {
        const path = join(folder, 'model.gguf')
        writeFileSync(path, createKQuantModel(fixtures))
        const errors = await compare(path, { pack, prompts: kQuantPrompts })
        expect(errors).toEqual([expect.stringMatching(/^tp 2 [|] \d.*weights$/), 'tp 4 | refused'])
        table.push(...errors.map((error) => `${backend} | K-quants | ${error}`))
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  })
}

/** Hidden states of an embedder or classifier, and what its heads make of the first; a line for each number of ranks. */
async function comparePooling(path: string, pack: BackendPack): Promise<string[]> {
  const { inputs } = readJson<{ readonly inputs: readonly GoldenInput[] }>(`${path}/golden.json`)
  const { numTensors } = memory()
  const whole = await loadModel(path, { pack })
  const runner = new StepRunner(whole, pack)
  const expected = inputs.map((input) => statesOf(runner, input))
  runner.dispose()
  const lines: string[] = []
  for (const mesh of meshesOf(whole)) {
    const { group, models } = (await loadShards(path, mesh, pack))!
    const ranks = new RankRunner(group, models, pack)
    const worst = inputs.flatMap((input, i) => {
      const rows = statesOf(ranks, input)
      expect(rows.length).toBe(expected[i]!.length)
      return rows.map((row, token) =>
        errorOf(row, expected[i]![token]!, Math.max(...expected[i]![token]!.map(Math.abs))),
      )
    })
    lines.push(`${mesh.name} | ${Math.max(...worst).toExponential(1)}`)
    expect(Math.max(...worst)).toBeLessThan(tolerance)
    const row = expected[0]![0]!
    for (const model of models) expect(classesOf(model, row)).toEqual(classesOf(whole, row))
    ranks.dispose()
    for (const model of models) model.dispose()
  }
  whole.dispose()
  expect(memory().numTensors).toBe(numTensors)
  return lines
}

interface GoldenInput {
  readonly ids: readonly number[]
  readonly type_ids?: readonly number[]
}

function statesOf(runner: Pick<StepRunner, 'add' | 'hiddenStates' | 'release'>, input: GoldenInput): Float32Array[] {
  const sequence = runner.add(input.ids, input.type_ids)
  const rows = runner.hiddenStates([{ sequence, numTokens: input.ids.length }])
  runner.release(sequence)
  return rows
}

/** Heads are whole on every rank. */
function classesOf({ heads }: CausalLM, row: Float32Array): Float32Array | null {
  const classify = heads?.classify ?? null
  if (classify === null) return null
  // Linears look at nothing of a context.
  return tidy(() => classify(tensor2d(row, [1, row.length]), {} as ForwardContext).dataSync<'float32'>())
}

interface Comparison {
  readonly pack: BackendPack
  readonly prompts: readonly (readonly number[])[]
}

/** A line for each mesh. */
async function compare(path: string, { pack, prompts }: Comparison): Promise<string[]> {
  const { numTensors } = memory()
  const whole = await loadModel(path, { pack })
  const runner = new StepRunner(whole, pack)
  const expected = decode(runner, prompts)
  runner.dispose()
  const lines: string[] = []
  for (const mesh of meshesOf(whole)) {
    const shards = await loadShards(path, mesh, pack)
    if (shards === null) {
      lines.push(`${mesh.name} | refused`)
      continue
    }
    const { group, models } = shards
    const ranks = new RankRunner(group, models, pack)
    const alone = decode(ranks, prompts)
    const worst = checkSame(alone, expected)
    checkBatches(ranks, prompts, { expected: alone, isExact: pack.isBatchInvariant })
    const share = Math.max(...models.map(({ weightBytes }) => weightBytes)) / whole.weightBytes
    lines.push(`${mesh.name} | ${worst.toExponential(1)} | largest rank: ${share.toFixed(2)} of the weights`)
    if (mesh.tp > 1) expect(share).toBeLessThan(1 / mesh.tp + uneven)
    ranks.dispose()
    for (const model of models) model.dispose()
  }
  whole.dispose()
  expect(memory().numTensors).toBe(numTensors)
  return lines
}

function meshesOf({ config }: CausalLM): Mesh[] {
  const sizes = headSizes(config).filter((size) => size === 2 || size === 4 || size === 3)
  const meshes: Mesh[] = sizes.map((tp) => ({ name: `tp ${tp}`, tp, ep: 1 }))
  if (config.moe === null) return meshes
  return [
    ...meshes,
    { name: 'ep 2', tp: 1, ep: 2 },
    { name: 'ep 3', tp: 1, ep: 3 },
    { name: 'tp 2 x ep 2', tp: 2, ep: 2 },
  ]
}

/** `null` where blocks of the weights do not allow it. */
async function loadShards(
  path: string,
  { tp, ep }: Mesh,
  pack: BackendPack,
): Promise<{ group: ReplayGroup; models: CausalLM[] } | null> {
  const group = new ReplayGroup(Math.max(tp, ep))
  const models: CausalLM[] = []
  for (const communicator of group.communicators) {
    try {
      models.push(
        await loadModel(path, {
          pack,
          ...(tp > 1 && { communicator }),
          ...(ep > 1 && { expertCommunicator: communicator }),
        }),
      )
    } catch (error) {
      expect(error).toBeInstanceOf(InvalidConfigError)
      expect(error).toHaveProperty('option', 'tp')
      expect(String(error)).toMatch(/in blocks of \d+; use (1|up to \d)/)
      expect(models).toEqual([])
      return null
    }
  }
  return { group, models }
}

function decode(runner: Stepper, prompts: Comparison['prompts']): Float32Array[][] {
  return prompts.map((ids) => decodeAlone(runner, ids, { numTokens, nextToken: argmax }).logits)
}

/** The largest difference as a share of the largest logit. */
function checkSame(logits: readonly Float32Array[][], expected: readonly Float32Array[][]): number {
  const errors = expected.flatMap((rows, prompt) =>
    rows.map((row, step) => {
      const scale = row.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      expect(argmax(logits[prompt]![step]!)).toBe(argmax(row))
      return errorOf(logits[prompt]![step], row, scale)
    }),
  )
  const worst = Math.max(...errors)
  expect(worst).toBeLessThan(tolerance)
  return worst
}

function checkBatches(
  runner: Stepper,
  prompts: Comparison['prompts'],
  { expected, isExact }: { expected: readonly Float32Array[][]; isExact: boolean },
): void {
  const together = decodeTogether(
    runner,
    prompts.map((ids) => ({ ids, nextToken: argmax })),
    numTokens,
  )
  if (isExact) expect(together).toEqual(expected)
  else checkSame(together, expected)
}
