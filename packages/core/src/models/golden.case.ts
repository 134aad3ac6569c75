import { memory, setBackend } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { decodeAlone, decodeAlong, decodeTogether, errorOf, type NextToken } from './decode.case.ts'
import {
  allGoldenKinds,
  type Golden,
  type GoldenFiles,
  type GoldenKind,
  listGoldenFolders,
  loadModel,
  readJson,
} from './golden-models.case.ts'
import type { CausalLM } from './model.ts'
import { StepRunner, argmax } from './step-runner.case.ts'

/** Logits in float32 may differ by this share of the largest logit (fixtures/README.md). */
const exactTolerance = 2e-3
/** Several hundred steps. */
const setupTimeoutMs = 60_000

/**
 * These round keys and values. So far may the largest error of a position be off at the median (a router that chooses another
 * expert has no bound), and this share of the greedy tokens must be the golden ones.
 */
const narrowCaches = [
  { dtype: 'bfloat16', maxMedianError: 1.5e-2, minEqual: 0.9 },
  { dtype: 'int8', maxMedianError: 4e-2, minEqual: 0.85 },
] as const
const numNarrowTokens = 16

function logprobsOf(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const sum = logits.reduce((a, b) => a + Math.exp(b - max), 0)
  return Float64Array.from(logits, (value) => value - max - Math.log(sum))
}

function checkTopLogprobs(
  logits: readonly Float32Array[],
  steps: Golden['top_logprobs']['steps'],
  allowed: number,
): void {
  steps.forEach((expected, step) => {
    const logprobs = logprobsOf(logits[step]!)
    const order = Array.from(logprobs.keys()).sort((a, b) => logprobs[b]! - logprobs[a]!)
    expected.forEach(({ id, logprob }, rank) => {
      expect(Math.abs(logprobs[id]! - logprob)).toBeLessThanOrEqual(allowed)
      const neighbours = [expected[rank - 1], expected[rank + 1]]
      const isClear = neighbours.every((other) => other === undefined || Math.abs(other.logprob - logprob) > allowed)
      if (isClear && rank < expected.length - 1) expect(order[rank]).toBe(id)
    })
  })
}

export interface DescribeGoldenOptions {
  /** The folder of golden data, with a slash at its end. */
  readonly fixtures: string
  /** Makes the backend's pack and activates it. */
  readonly createPack: () => Promise<BackendPack>
  /**
   * For activations in 16 bits: the share of the largest logit by which logits may differ. Then each step is fed the
   * reference's token, whose logit must be the largest within that.
   */
  readonly tolerance?: number
  /** Default: all. */
  readonly kinds?: readonly GoldenKind[]
  /** Default: all. */
  readonly folders?: readonly string[]
}

/** Every model family and GGUF type against logits, tokens and logprobs of the reference implementations. */
export function describeGolden(backend: string, options: DescribeGoldenOptions): void {
  const { fixtures, createPack, tolerance, kinds = allGoldenKinds, folders = listGoldenFolders(fixtures) } = options
  const table: string[] = []
  describe(`golden data on the ${backend} backend`, () => {
    let pack: BackendPack
    beforeAll(async () => {
      pack = await createPack()
    })
    afterAll(async () => {
      await setBackend('cpu')
      process.stdout.write(['backend | model | max logit error / max_abs_logit', ...table, ''].join('\n'))
    })
    const suite: Suite = {
      backend,
      fixtures,
      table,
      getPack: () => pack,
      isExact: tolerance === undefined,
      tolerance: tolerance ?? exactTolerance,
    }
    describeFolders(suite, folders)
    for (const kind of kinds) describeFiles(suite, kind)
  })
}

interface Suite {
  readonly backend: string
  readonly fixtures: string
  readonly table: string[]
  readonly getPack: () => BackendPack
  readonly isExact: boolean
  readonly tolerance: number
}

/** The reference's tokens where logits are approximate, else the model's own. */
function tokenChooser(isExact: boolean, greedy: readonly number[]): NextToken {
  return isExact ? argmax : (logits, step) => greedy[step] ?? argmax(logits)
}

/** Exactly the reference's tokens, or such as are the largest within the tolerance. */
function checkTokens(
  { tokens, logits }: { tokens: readonly number[]; logits: readonly Float32Array[] },
  greedy: readonly number[],
  allowed: number | null,
): void {
  if (allowed === null) return expect(tokens.slice(0, greedy.length)).toEqual(greedy)
  greedy.forEach((token, step) => {
    const row = logits[step]!
    expect(row[tokens[step]!]! - row[token]!).toBeLessThanOrEqual(2 * allowed)
  })
}

function describeFolders(
  { backend, fixtures, table, getPack, isExact, tolerance }: Suite,
  folders: readonly string[],
): void {
  describe.each(folders)('%s', (folder) => {
    const golden = readJson<Golden>(`${fixtures}models/${folder}/golden.json`)
    let model: CausalLM
    let runner: StepRunner
    let alone: { tokens: number[]; logits: Float32Array[] }[]
    let numTensors: number
    beforeAll(async () => {
      numTensors = memory().numTensors
      model = await loadModel(`${fixtures}models/${folder}`, { pack: getPack() })
      runner = new StepRunner(model, getPack())
      alone = golden.prompts.map(({ ids, greedy_ids: greedy }) =>
        decodeAlone(runner, ids, { numTokens: greedy.length, nextToken: tokenChooser(isExact, greedy) }),
      )
    }, setupTimeoutMs)

    it('gives the golden logits, tokens and logprobs', () => {
      const scale = golden.max_abs_logit
      const errors = golden.prompts.map((prompt, i) => errorOf(alone[i]!.logits[0], prompt.last_logits, scale))
      const all = golden.prompts.find(({ name }) => name === golden.all_logits.prompt)!
      const sequence = runner.add(all.ids)
      const rows = runner.step([{ sequence, numTokens: all.ids.length }], 'all')
      runner.release(sequence)
      errors.push(...golden.all_logits.logits.map((expected, i) => errorOf(rows[i], expected, scale)))
      // Rounding to 16 bits sends a token to other experts now and then, and that row somewhere else.
      const isUnsteady = !isExact && model.config.moe !== null
      errors.sort((a, b) => a - b)
      const worst = errors[Math.floor((errors.length - 1) * (isUnsteady ? 0.8 : 1))]!
      table.push(`${backend} | ${folder} | ${worst.toExponential(1)}${isUnsteady ? ' (four rows of five)' : ''}`)
      expect(worst).toBeLessThanOrEqual(tolerance)
      if (isUnsteady) return
      golden.prompts.forEach((prompt, i) =>
        checkTokens(alone[i]!, prompt.greedy_ids, isExact ? null : tolerance * scale),
      )
      const top = golden.prompts.findIndex(({ name }) => name === golden.top_logprobs.prompt)
      // A log-probability has the error of its logit and that of all others.
      checkTopLogprobs(alone[top]!.logits, golden.top_logprobs.steps, (isExact ? 1 : 2) * tolerance * scale)
    })

    it('gives the same alone, chunked and batched, bit for bit where the backend promises it', ({ skip }) => {
      if (!isExact && model.config.moe !== null) skip('in 16 bits, another batch may mean other experts')
      const together = decodeTogether(
        runner,
        golden.prompts.map(({ ids, greedy_ids: greedy }) => ({ ids, nextToken: tokenChooser(isExact, greedy) })),
        12,
      )
      const { isBatchInvariant } = getPack()
      together.forEach((rows, i) =>
        rows.forEach((row, step) => {
          const expected = alone[i]!.logits[step]!
          if (isBatchInvariant) expect(row).toEqual(expected)
          else expect(errorOf(row, [...expected], golden.max_abs_logit)).toBeLessThanOrEqual(tolerance)
        }),
      )
    })

    it('gives the same cut into stages, bit for bit where the backend promises it', async ({ skip }) => {
      if (!isExact && model.config.moe !== null) skip('in 16 bits, other sums may mean other experts')
      const { numLayers } = model.config
      const stages: CausalLM[] = []
      for (const layers of [
        { start: 0, end: 1 },
        { start: 1, end: numLayers },
      ])
        stages.push(await loadModel(`${fixtures}models/${folder}`, { pack: getPack(), layers }))
      const cut = new StepRunner(stages, getPack())
      const { ids, greedy_ids: greedy } = golden.prompts[0]!
      const { logits } = decodeAlone(cut, ids, { numTokens: 4, nextToken: tokenChooser(isExact, greedy) })
      cut.dispose()
      for (const stage of stages) stage.dispose()
      logits.forEach((row, step) => {
        const expected = alone[0]!.logits[step]!
        if (getPack().isBatchInvariant) expect(row).toEqual(expected)
        else expect(errorOf(row, [...expected], golden.max_abs_logit)).toBeLessThanOrEqual(tolerance)
      })
    })

    it.for(narrowCaches)(
      'stays near them with keys and values in $dtype',
      { timeout: 60_000 },
      ({ dtype, maxMedianError, minEqual }, { skip }) => {
        if (!getPack().kvCacheDtypes.includes(dtype)) skip(`the pack has no KV cache in ${dtype}`)
        if (!isExact) skip('products in 16 bits round more than the cache does')
        const narrow = new StepRunner(model, getPack(), { dtype })
        const errors: number[] = []
        let numEqual = 0
        golden.prompts.forEach(({ ids, greedy_ids: greedy }, i) => {
          decodeAlong(narrow, ids, greedy.slice(0, numNarrowTokens)).forEach((logits, step) => {
            errors.push(errorOf(logits, alone[i]!.logits[step]!, golden.max_abs_logit))
            numEqual += argmax(logits) === greedy[step] ? 1 : 0
          })
        })
        narrow.dispose()
        const median = errors.sort((a, b) => a - b)[errors.length >> 1]!
        table.push(
          `${backend} | ${folder}, KV ${dtype} | median ${median.toExponential(1)}, ${numEqual} of ${errors.length} tokens`,
        )
        expect(median).toBeLessThanOrEqual(maxMedianError)
        expect(numEqual / errors.length).toBeGreaterThanOrEqual(minEqual)
      },
    )

    it('frees all it allocated', () => {
      expect(model.weightBytes).toBeGreaterThan(0)
      runner.dispose()
      model.dispose()
      expect(memory().numTensors).toBe(numTensors)
      expect(getPack().usedBytes).toBe(0)
    })
  })
}

/** Files, or folders, of a kind of checkpoint. */
function describeFiles({ backend, fixtures, table, getPack, isExact, tolerance }: Suite, kind: GoldenKind): void {
  const { files } = readJson<GoldenFiles>(`${fixtures}${kind}/golden.json`)
  describe.each(files)('$file', ({ file, outputs }) => {
    it('gives the golden logits and tokens', async () => {
      const model = await loadModel(`${fixtures}${kind}/${file}`, { pack: getPack() })
      const runner = new StepRunner(model, getPack())
      // As above: another expert, another row.
      const isUnsteady = !isExact && model.config.moe !== null
      const errors: number[] = []
      for (const { ids, last_logits: expected, greedy_ids: greedy } of outputs) {
        const scale = Math.max(...expected.map(Math.abs))
        const nextToken = tokenChooser(isExact, greedy)
        const decoded = decodeAlone(runner, ids, { numTokens: Math.max(1, greedy.length), nextToken })
        errors.push(errorOf(decoded.logits[0], expected, scale))
        if (!isUnsteady) checkTokens(decoded, greedy, isExact ? null : tolerance * scale)
      }
      errors.sort((a, b) => a - b)
      const worst = errors[Math.floor((errors.length - 1) * (isUnsteady ? 0.5 : 1))]!
      runner.dispose()
      model.dispose()
      expect(getPack().usedBytes).toBe(0)
      table.push(`${backend} | ${file} | ${worst.toExponential(1)}${isUnsteady ? ' (the median)' : ''}`)
      expect(worst).toBeLessThanOrEqual(tolerance)
    })
  })
}
