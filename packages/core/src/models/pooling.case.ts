import { memory, setBackend, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import type { PoolingConfig } from '../config/pooling-config.ts'
import { parseModelConfig } from '../config/model-config.ts'
import { resolvePooling } from '../engine/resolve-pooling.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { listGoldenFolders, loadModel, readJson } from './golden-models.case.ts'
import type { CausalLM, PoolingHead } from './model.ts'
import { StepRunner, type TestSequence } from './step-runner.case.ts'

/** Hidden states, embeddings and logits in float32 may differ by this share of the largest value of their row. */
const exactTolerance = 2e-3
/** … and in another batch, where the backend does not promise the same bits, by this. */
const batchTolerance = 1e-4

interface GoldenInput {
  readonly ids: readonly number[]
  readonly type_ids?: readonly number[]
  readonly last_hidden_state?: readonly (readonly number[])[]
  readonly last_token_hidden?: readonly number[]
  readonly cls?: readonly number[]
  readonly mean?: readonly number[]
  readonly mean_normalized?: readonly number[]
  readonly cls_normalized?: readonly number[]
  readonly embedding?: readonly number[]
  readonly logits?: readonly number[]
  readonly token_logits?: readonly (readonly number[])[]
  readonly probs?: readonly number[]
}

interface PoolingGolden {
  readonly inputs: readonly GoldenInput[]
  readonly pairs?: readonly GoldenInput[]
}

export interface DescribePoolingOptions {
  /** The folder of golden data, with a slash at its end. */
  readonly fixtures: string
  /** Makes the backend's pack and activates it. */
  readonly createPack: () => Promise<BackendPack>
  /** For activations in 16 bits: of rows, and of logits, which are often near 0, as of ones that reach 1. */
  readonly tolerance?: number
}

/** Every embedder and classifier against the hidden states, vectors and logits of the reference implementations. */
export function describePooling(backend: string, { fixtures, createPack, tolerance }: DescribePoolingOptions): void {
  const table: string[] = []
  describe(`embedders and classifiers on the ${backend} backend`, () => {
    let pack: BackendPack
    beforeAll(async () => {
      pack = await createPack()
    })
    afterAll(async () => {
      await setBackend('cpu')
      process.stdout.write(['backend | model | largest error as a share of its row', ...table, ''].join('\n'))
    })

    describe.each(listGoldenFolders(fixtures, ['embed', 'classify']))('%s', (folder) => {
      const path = `${fixtures}models/${folder}`
      const { inputs, pairs = [] } = readJson<PoolingGolden>(`${path}/golden.json`)
      const all = [...inputs, ...pairs]
      const limits = (): Limits => ({ isExact: pack.isBatchInvariant, tolerance: tolerance ?? batchTolerance })
      let pooling: PoolingConfig
      let model: CausalLM
      let runner: StepRunner
      let alone: Float32Array[][]
      let numTensors: number
      beforeAll(async () => {
        numTensors = memory().numTensors
        pooling = await readPooling(path)
        model = await loadModel(path, { pack, pooling })
        runner = new StepRunner(model, pack)
        alone = all.map((input) => computeTogether(runner, [input])[0]!)
      })

      it('gives the golden hidden states, vectors and logits', () => {
        const errors = all.flatMap((input, i) =>
          errorsOf(input, alone[i]!, { model, pooling, minLogit: tolerance === undefined ? 0 : 1 }),
        )
        expect(errors.length).toBeGreaterThanOrEqual(all.length)
        const worst = Math.max(...errors)
        table.push(`${backend} | ${folder} | ${worst.toExponential(1)}`)
        expect(worst).toBeLessThanOrEqual(tolerance ?? exactTolerance)
      })

      it('gives the same in one batch, in any order, bit for bit where the backend promises it', () => {
        const order = all.map((_, i) => (i * 3 + 1) % all.length)
        const isOrder = new Set(order).size === all.length
        const inOrder = isOrder ? order : all.map((_, i) => all.length - 1 - i)
        const together = computeTogether(
          runner,
          inOrder.map((i) => all[i]!),
        )
        inOrder.forEach((i, at) => expectSame(together[at]!, alone[i]!, limits()))
      })

      it('gives the same in chunks, where its tokens see no others behind them', ({ skip }) => {
        if (pooling.needsWholePrompts) skip('the prompts of encoders are computed whole')
        all.forEach((input, i) => expectSame(computeInChunks(runner, input), alone[i]!, limits()))
      })

      it('frees all it allocated', () => {
        expect(model.weightBytes).toBeGreaterThan(0)
        runner.dispose()
        model.dispose()
        expect(memory().numTensors).toBe(numTensors)
        expect(pack.usedBytes).toBe(0)
      })
    })
  })
}

async function readPooling(path: string): Promise<PoolingConfig> {
  const checkpoint = await openCheckpoint(path)
  return resolvePooling(checkpoint, parseModelConfig(checkpoint.config, path))
}

interface Limits {
  readonly isExact: boolean
  readonly tolerance: number
}

function expectSame(
  rows: readonly Float32Array[],
  expected: readonly Float32Array[],
  { isExact, tolerance }: Limits,
): void {
  if (isExact) expect(rows).toEqual(expected)
  else rows.forEach((row, i) => expect(rowError(row, expected[i]!)).toBeLessThanOrEqual(tolerance))
}

/** Hidden states of each input, by token. */
function computeTogether(runner: StepRunner, inputs: readonly GoldenInput[]): Float32Array[][] {
  const sequences = inputs.map(({ ids, type_ids: typeIds }) => runner.add(ids, typeIds))
  const rows = runner.hiddenStates(sequences.map((sequence) => ({ sequence, numTokens: sequence.ids.length })))
  release(runner, sequences)
  let at = 0
  return inputs.map(({ ids }) => rows.slice(at, (at += ids.length)))
}

function computeInChunks(runner: StepRunner, { ids }: GoldenInput): Float32Array[] {
  const sequence = runner.add(ids)
  const rows: Float32Array[] = []
  while (rows.length < ids.length)
    rows.push(...runner.hiddenStates([{ sequence, numTokens: Math.min(7, ids.length - rows.length) }]))
  release(runner, [sequence])
  return rows
}

function release(runner: StepRunner, sequences: readonly TestSequence[]): void {
  for (const sequence of sequences) runner.release(sequence)
}

interface Pooled {
  readonly model: CausalLM
  readonly pooling: PoolingConfig
  readonly minLogit: number
}

/** Of all that the golden file says of an input. */
function errorsOf(input: GoldenInput, rows: readonly Float32Array[], { model, pooling, minLogit }: Pooled): number[] {
  const { heads } = model
  const { type } = pooling
  const errors: number[] = []
  const check = (row: ArrayLike<number>, expected: readonly number[] | undefined, minScale = 0): void => {
    if (expected !== undefined) errors.push(rowError(row, expected, minScale))
  }
  const pooled = pool(rows, type)
  input.last_hidden_state?.forEach((expected, i) => check(rows[i]!, expected))
  check(rows.at(-1)!, input.last_token_hidden)
  check(rows[0]!, input.cls)
  check(pool(rows, 'mean'), input.mean)
  check(normalize(pool(rows, 'mean')), input.mean_normalized)
  check(normalize(rows[0]!), input.cls_normalized)
  const embedding = apply(heads?.embed ?? null, pooled)
  check(pooling.isNormalized ? normalize(embedding) : embedding, input.embedding)
  if (heads?.classify) {
    const logits = apply(heads.classify, pooled)
    check(logits, input.logits, minLogit)
    check(activate(logits, pooling), input.probs, minLogit)
    input.token_logits?.forEach((expected, i) => check(apply(heads.classify, rows[i]!), expected, minLogit))
  }
  return errors
}

function pool(rows: readonly Float32Array[], type: PoolingConfig['type']): Float32Array {
  switch (type) {
    case 'cls':
      return rows[0]!
    case 'last':
      return rows.at(-1)!
    case 'mean':
      return rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length)
  }
}

function apply(head: PoolingHead | null, row: Float32Array): Float32Array {
  if (head === null) return row
  // Heads are linears, which look at no more of a context than what these never use.
  return tidy(() => head(tensor2d(row, [1, row.length]), { tokens: null } as never).dataSync<'float32'>())
}

function normalize(row: Float32Array): Float32Array {
  const norm = Math.hypot(...row)
  return row.map((value) => value / norm)
}

function activate(logits: Float32Array, { classifier }: PoolingConfig): Float32Array {
  switch (classifier?.activation) {
    case 'sigmoid':
      return logits.map((x) => 1 / (1 + Math.exp(-x)))
    case 'softmax': {
      const sum = logits.reduce((total, x) => total + Math.exp(x), 0)
      return logits.map((x) => Math.exp(x) / sum)
    }
    default:
      return logits
  }
}

function rowError(row: ArrayLike<number>, expected: ArrayLike<number>, minScale = 0): number {
  expect(row.length).toBe(expected.length)
  const scale = Array.from(expected).reduce((max, value) => Math.max(max, Math.abs(value)), minScale)
  return Array.from(expected, (value, i) => Math.abs(value - row[i]!)).reduce((a, b) => Math.max(a, b), 0) / scale
}
