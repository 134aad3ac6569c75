import * as tf from '@tensorflow/tfjs-core'
import { toTransferredError } from '../error-transfer.ts'
import { InvalidLogitsError } from '../errors.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { PoolingHead, PoolingHeads } from '../models/model.ts'
import type { PooledSequence, SequenceFailure } from '../scheduler/scheduler-output.ts'
import type { PooledData, SequencePooling } from '../sequence/sequence-pooling.ts'
import type { BatchEntry } from './input-batch.ts'
import type { PoolingState } from './pooling-state.ts'

/** What a forward pass gave: final hidden states `[numTokens, hiddenSize]` and where they come from. */
export interface ComputedRows {
  readonly hidden: tf.Tensor2D
  readonly context: ForwardContext
}

export interface PooledBatch {
  readonly pooled: readonly PooledSequence[]
  readonly failed: readonly SequenceFailure[]
}

/** An entry whose sequence is pooled. */
interface PooledEntry {
  readonly entry: BatchEntry
  readonly state: PoolingState
}

/** Some of the batch's rows, and whose they are. */
interface WantedRow {
  readonly state: PoolingState
  readonly batchRow: number
}

type HeadName = SequencePooling['head']

const nothingPooled: PooledBatch = { pooled: [], failed: [] }

const headNames: readonly HeadName[] = ['embed', 'classify']

/**
 * Hidden states → vectors. Pooling, activation and norms are computed on the host in float64, in the order of tokens; only
 * layers behind the pooling run on the backend. Ranks that share a model make the same calls.
 */
export class Pooler {
  readonly #heads: PoolingHeads

  constructor(heads: PoolingHeads = { embed: null, classify: null }) {
    this.#heads = heads
  }

  /** @returns vectors of the sequences whose prompts are computed now. */
  run(computed: ComputedRows, entries: readonly BatchEntry[]): PooledBatch {
    // Most steps only generate.
    if (entries.every(({ row }) => row.pooling === null)) return nothingPooled
    const pooled = entries.flatMap((entry) => (entry.row.pooling === null ? [] : [{ entry, state: entry.row.pooling }]))
    this.#takeRows(computed, pooled)
    const done = pooled.filter(
      ({ entry: { row, numTokens } }) => row.numComputedTokens + numTokens === row.numPromptTokens,
    )
    const vectors = this.#applyHeads(computed, done)
    const results = done.map(({ entry, state }): PooledSequence => {
      return { id: entry.row.id, ...finish(vectors.get(state) ?? state.rows(), state.pooling) }
    })
    return {
      pooled: results.filter(isSound),
      failed: results
        .filter((result) => !isSound(result))
        .map(({ id }) => ({ id, error: toTransferredError(notANumber()) })),
    }
  }

  /** What vectors are made of; where each token has one, all layers behind it are applied at once. */
  #takeRows({ hidden, context }: ComputedRows, pooled: readonly PooledEntry[]): void {
    const wanted = pooled.map((one) => ({ ...one, rows: wantedRows(one) }))
    const take = (rows: readonly WantedRow[], head: PoolingHead | null): void => {
      if (rows.length === 0) return
      const batchRows = Int32Array.from(rows, ({ batchRow }) => batchRow)
      const values = tf.tidy(() => {
        const gathered = tf.gather(hidden, tf.tensor1d(batchRows, 'int32'))
        return rowsOf(head === null ? gathered : head(gathered, { ...context, tokens: batchRows }))
      })
      rows.forEach(({ state }, i) => state.add(values[i]!))
    }
    const isPlain = ({ pooling: { type, head } }: PoolingState): boolean => type !== 'all' || this.#heads[head] === null
    take(
      wanted.flatMap(({ state, rows }) => (isPlain(state) ? rows : [])),
      null,
    )
    for (const name of headNames) {
      const ofHead = wanted.filter(({ state }) => !isPlain(state) && state.pooling.head === name)
      take(
        ofHead.flatMap(({ rows }) => rows),
        this.#heads[name],
      )
    }
  }

  /** To the one vector of each prompt. */
  #applyHeads({ context }: ComputedRows, done: readonly PooledEntry[]): Map<PoolingState, readonly Float32Array[]> {
    const results = new Map<PoolingState, readonly Float32Array[]>()
    for (const name of headNames) {
      const head = this.#heads[name]
      const ofHead = done.filter(({ state: { pooling } }) => pooling.type !== 'all' && pooling.head === name)
      if (head === null || ofHead.length === 0) continue
      const inputs = ofHead.map(({ state }) => state.rows()[0]!)
      // Of each prompt its last token, as the one row that stands for it.
      const tokens = Int32Array.from(ofHead, ({ entry }) => entry.start + entry.numTokens - 1)
      const outputs = tf.tidy(() => rowsOf(head(stack(inputs), { ...context, tokens })))
      ofHead.forEach(({ state }, i) => results.set(state, [outputs[i]!]))
    }
    return results
  }
}

function wantedRows({ entry: { row, start, numTokens }, state }: PooledEntry): WantedRow[] {
  const rows: WantedRow[] = []
  for (let i = 0; i < numTokens; i++)
    if (state.needs(row.numComputedTokens + i, row.numPromptTokens)) rows.push({ state, batchRow: start + i })
  return rows
}

function finish(rows: readonly Float32Array[], { type, dimensions, activation }: SequencePooling): PooledData {
  const width = dimensions ?? rows[0]!.length
  const data = new Float32Array(rows.length * width)
  rows.forEach((row, i) => data.set(activate(row.subarray(0, width), activation), i * width))
  return { data, shape: type === 'all' ? [rows.length, width] : [width] }
}

/** One row; in float64, rounded once at the end. */
function activate(row: Float32Array, activation: SequencePooling['activation']): ArrayLike<number> {
  switch (activation) {
    case 'none':
      return row
    case 'sigmoid':
      return Array.from(row, (x) => 1 / (1 + Math.exp(-x)))
    case 'softmax': {
      const max = row.reduce((a, b) => Math.max(a, b), -Infinity)
      const weights = Array.from(row, (x) => Math.exp(x - max))
      const sum = weights.reduce((a, b) => a + b, 0)
      return weights.map((weight) => weight / sum)
    }
    case 'normalize': {
      const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0))
      return Array.from(row, (x) => x / Math.max(norm, minNorm))
    }
  }
}

/** torch's: the vector of zeros stays one. */
const minNorm = 1e-12

function isSound({ data }: PooledData): boolean {
  return data.every((x) => Number.isFinite(x))
}

function notANumber(): InvalidLogitsError {
  return new InvalidLogitsError(
    'The model computed NaN or infinity where a vector was asked for; its weights may be damaged.',
  )
}

function stack(rows: readonly Float32Array[]): tf.Tensor2D {
  const width = rows[0]!.length
  const data = new Float32Array(rows.length * width)
  rows.forEach((row, i) => data.set(row, i * width))
  return tf.tensor2d(data, [rows.length, width])
}

function rowsOf(x: tf.Tensor2D): Float32Array[] {
  const [numRows, width] = x.shape
  const data = x.dataSync<'float32'>()
  return Array.from({ length: numRows }, (_, i) => data.slice(i * width, (i + 1) * width))
}
