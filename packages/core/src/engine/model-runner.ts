import * as tf from '@tensorflow/tfjs-core'
import type { CausalLM } from '../models/model.ts'
import { hasKernel } from '../ops/op.ts'
import { sample, sampleKernel, type SampleRow } from '../ops/sample.ts'
import { trySampleRow } from '../sampling/sample-row.ts'
import { sampleToken } from '../sampling/sampler.ts'
import { computeLogprobs } from '../sampling/logprobs.ts'
import type {
  ModelRunnerOutput,
  PromptLogprobs,
  SampledTokens,
  SchedulerOutput,
} from '../scheduler/scheduler-output.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import { type BatchEntry, InputBatch, type SequenceRow } from './input-batch.ts'

export interface ModelRunnerOptions {
  readonly model: CausalLM
  readonly kv: KvStorage
  /** To how many tokens batches, and rows of logits, are filled up; default: to none more. */
  readonly paddedSize?: (numTokens: number) => number
}

/** Logits of this many rows at once: bounds their memory when a whole prompt's logprobs are asked for. */
const maxLogitRows = 64

/** One position whose logits are needed: to draw the next token, or to score the prompt token that follows it. */
interface LogitsRequest {
  readonly entry: BatchEntry
  /** Row of the flattened batch. */
  readonly batchRow: number
  /** The prompt token to score; `null` = draw the next token. */
  readonly promptTokenId: number | null
}

interface LogitsResults {
  readonly sampled: SampledTokens[]
  /** By sequence id. */
  readonly scores: Map<string, TokenLogprobs[]>
}

/** Runs a plan on this rank: batch arrays → forward → logits → samples. Owns the model and the KV cache. */
export class ModelRunner {
  readonly #model: CausalLM
  readonly #kv: KvStorage
  readonly #batch: InputBatch
  readonly #paddedSize: (numTokens: number) => number

  constructor({ model, kv, paddedSize = (numTokens) => numTokens }: ModelRunnerOptions) {
    this.#model = model
    this.#kv = kv
    this.#paddedSize = paddedSize
    this.#batch = new InputBatch(kv.layout.blockSize, paddedSize)
  }

  executeModel(plan: SchedulerOutput): ModelRunnerOutput {
    const { inputIds, attention, entries } = this.#batch.prepare(plan)
    for (const { from, to } of plan.blockCopies) this.#kv.copyBlock(from, to)
    if (plan.numTokens === 0) return { sampled: [], promptLogprobs: [], failed: [] }

    const requests = entries.flatMap(logitsRequests)
    const sampled: SampledTokens[] = []
    const scores = new Map<string, TokenLogprobs[]>()
    tf.tidy(() => {
      const hidden = this.#model.forward(inputIds, attention, this.#kv)
      for (let start = 0; start < requests.length; start += maxLogitRows) {
        this.#useLogits(hidden, requests.slice(start, start + maxLogitRows), { sampled, scores })
      }
    })
    return { sampled, promptLogprobs: entries.flatMap((entry) => promptLogprobsOf(entry, scores)), failed: [] }
  }

  dispose(): void {
    this.#model.dispose()
    this.#kv.dispose()
  }

  #useLogits(hidden: tf.Tensor2D, requests: readonly LogitsRequest[], { sampled, scores }: LogitsResults): void {
    const { vocabSize } = this.#model.config
    const rows = requests.map(({ batchRow }) => batchRow)
    const numRows = Math.max(rows.length, Math.min(maxLogitRows, this.#paddedSize(rows.length)))
    rows.push(...Array.from({ length: numRows - rows.length }, () => rows[0] ?? 0))
    const logits = tf.tidy(() => this.#model.computeLogits(gatherRows(hidden, rows)))
    assert(logits.size === numRows * vocabSize, 'logits have the wrong shape')
    const drawn = this.#tryDraw(logits, requests)
    const isDone = requests.every((_, i) => drawn.has(i))
    // NOTE: not returned through tidy, which would look for tensors in every element.
    const values = isDone ? null : logits.dataSync<'float32'>()
    requests.forEach((request, i) => {
      const { row } = request.entry
      const tokenId = drawn.get(i)
      const rowLogits = (): Float32Array => {
        assert(values !== null, 'a row was neither drawn nor read')
        return values.slice(i * vocabSize, (i + 1) * vocabSize)
      }
      if (request.promptTokenId !== null) pushTo(scores, row.id, scorePrompt(rowLogits(), request))
      else
        sampled.push(
          tokenId === undefined ? this.#sample(rowLogits(), row) : { id: row.id, tokenIds: [tokenId], logprobs: null },
        )
    })
    logits.dispose()
  }

  /** The tokens that the backend's kernel draws, by index into `requests`. */
  #tryDraw(logits: tf.Tensor2D, requests: readonly LogitsRequest[]): ReadonlyMap<number, number> {
    if (!hasKernel(sampleKernel)) return new Map()
    const rows = requests.flatMap(({ entry: { row }, promptTokenId }, i): SampleRow[] => {
      if (promptTokenId !== null) return []
      const sampleRow = trySampleRow(row, {
        row: i,
        vocabSize: this.#model.config.vocabSize,
        counts: row.counts,
        eosTokenIds: row.eosTokenIds,
        seed: row.params.seed ?? 0,
      })
      return sampleRow === null ? [] : [sampleRow]
    })
    if (rows.length === 0) return new Map()
    const tokenIds = sample(logits, rows)
    return new Map(rows.map(({ row }, i) => [row, tokenIds[i]!]))
  }

  #sample(logits: Float32Array, row: SequenceRow): SampledTokens {
    const numLogprobs = row.params.logprobs
    const raw = numLogprobs === null ? null : logits.slice() // logprobs are those before penalties and temperature
    const tokenId = sampleToken(logits, row, { eosTokenIds: row.eosTokenIds, seed: row.params.seed ?? 0 })
    const logprobs = raw === null || numLogprobs === null ? null : [computeLogprobs(raw, tokenId, numLogprobs)]
    return { id: row.id, tokenIds: [tokenId], logprobs }
  }
}

function gatherRows(x: tf.Tensor2D, rows: readonly number[]): tf.Tensor2D {
  return tf.gather(x, tf.tensor1d(rows as number[], 'int32'))
}

function logitsRequests(entry: BatchEntry): LogitsRequest[] {
  const { row, start, numTokens } = entry
  const requests: LogitsRequest[] = []
  if (row.params.promptLogprobs !== null) {
    for (let i = 0; i < numTokens; i++) {
      const next = row.numComputedTokens + i + 1
      if (next < row.numPromptTokens) requests.push({ entry, batchRow: start + i, promptTokenId: row.tokenIds[next]! })
    }
  }
  const isCaughtUp = row.numComputedTokens + numTokens === row.tokenIds.length
  if (isCaughtUp) requests.push({ entry, batchRow: start + numTokens - 1, promptTokenId: null })
  return requests
}

function scorePrompt(logits: Float32Array, { entry, promptTokenId }: LogitsRequest): TokenLogprobs {
  assert(promptTokenId !== null && entry.row.params.promptLogprobs !== null, 'not a prompt position')
  return computeLogprobs(logits, promptTokenId, entry.row.params.promptLogprobs)
}

function promptLogprobsOf(
  { row }: BatchEntry,
  scores: ReadonlyMap<string, readonly TokenLogprobs[]>,
): PromptLogprobs[] {
  const entries = scores.get(row.id)
  return entries === undefined ? [] : [{ id: row.id, startPosition: row.numComputedTokens + 1, entries }]
}

function pushTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
