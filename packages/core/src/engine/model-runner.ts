import * as tf from '@tensorflow/tfjs-core'
import { toTransferredError } from '../error-transfer.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { CausalLM } from '../models/model.ts'
import { Logits } from '../sampling/logits.ts'
import { computeLogprobs } from '../sampling/logprobs.ts'
import { type Sampler, type SamplerResult, TokenSampler } from '../sampling/sampler.ts'
import type {
  ModelRunnerOutput,
  PromptLogprobs,
  SampledTokens,
  SchedulerOutput,
  SequenceFailure,
} from '../scheduler/scheduler-output.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import { type BatchEntry, type BatchInputs, InputBatch } from './input-batch.ts'

export interface ModelRunnerOptions {
  readonly model: CausalLM
  readonly kv: KvStorage
  /** To how many tokens batches, and rows of logits, are filled up; default: to none more. */
  readonly paddedSize?: (numTokens: number) => number
  /** By default `new TokenSampler()`; with logits processors, `new TokenSampler([…])`. */
  readonly sampler?: Sampler
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
  readonly failed: SequenceFailure[]
  /** By sequence id. */
  readonly scores: Map<string, TokenLogprobs[]>
}

/** Runs a plan on this rank: batch arrays → forward → logits → samples, or a stage of that. Owns the model and the KV cache. */
export class ModelRunner {
  readonly #model: CausalLM
  readonly #kv: KvStorage
  readonly #batch: InputBatch
  readonly #paddedSize: (numTokens: number) => number
  readonly #sampler: Sampler

  constructor(options: ModelRunnerOptions) {
    const { model, kv, paddedSize = (numTokens) => numTokens, sampler = new TokenSampler() } = options
    this.#model = model
    this.#kv = kv
    this.#paddedSize = paddedSize
    this.#sampler = sampler
    this.#batch = new InputBatch({ blockSize: kv.layout.blockSize, vocabSize: model.config.vocabSize, paddedSize })
  }

  /** @param input of a stage behind others: what `executeStage` of the one before it gave */
  executeModel(plan: SchedulerOutput, input: tf.Tensor2D | null = null): ModelRunnerOutput {
    const batch = this.#prepare(plan)
    if (plan.numTokens === 0) return { sampled: [], promptLogprobs: [], failed: [] }

    const { entries } = batch
    const sound = entries.filter(({ row }) => row.error === null)
    const requests = sound.flatMap(logitsRequests)
    const failed = entries.flatMap(({ row }) => (row.error === null ? [] : [failure(row.id, row.error)]))
    const results: LogitsResults = { sampled: [], failed, scores: new Map() }
    tf.tidy(() => {
      const hidden = this.#model.forward(input ?? batch.inputIds, batch.context)
      for (let start = 0; start < requests.length; start += maxLogitRows) {
        this.#useLogits({ hidden, context: batch.context }, requests.slice(start, start + maxLogitRows), results)
      }
    })
    const promptLogprobs = sound.flatMap((entry) => promptLogprobsOf(entry, results.scores))
    return { sampled: results.sampled, promptLogprobs, failed }
  }

  /**
   * Of a stage without the head: its layers of the plan. Which sequences fail is for the last stage to say, which knows
   * the same.
   * @returns hidden states `[numTokens, hiddenSize]` for the next stage, the caller's to free; `null` for a plan without tokens
   */
  executeStage(plan: SchedulerOutput, input: tf.Tensor2D | null = null): tf.Tensor2D | null {
    const { inputIds, context } = this.#prepare(plan)
    if (plan.numTokens === 0) return null
    return tf.tidy(() => this.#model.forward(input ?? inputIds, context))
  }

  /** `[numTokens, hiddenSize]` of what travels between stages for a plan, padding included. */
  hiddenShape({ numTokens }: SchedulerOutput): [number, number] {
    return [this.#paddedSize(numTokens), this.#model.config.hiddenSize]
  }

  /** Runs a plan for the sake of the backend: what comes from the stage before is zeros, and the result goes nowhere. */
  rehearse(plan: SchedulerOutput): void {
    const { config, layers } = this.#model
    tf.tidy(() => {
      const input = layers.start > 0 && plan.numTokens > 0 ? tf.zeros<tf.Rank.R2>(this.hiddenShape(plan)) : null
      if (layers.end === config.numLayers) this.executeModel(plan, input)
      else this.executeStage(plan, input)
    })
  }

  dispose(): void {
    this.#model.dispose()
    this.#kv.dispose()
  }

  #prepare(plan: SchedulerOutput): BatchInputs & { context: ForwardContext } {
    const batch = this.#batch.prepare(plan)
    for (const { from, to } of plan.blockCopies) this.#kv.copyBlock(from, to)
    return { ...batch, context: { metadata: batch.attention, kv: this.#kv, tokens: null } }
  }

  #useLogits(
    { hidden, context }: { hidden: tf.Tensor2D; context: ForwardContext },
    requests: readonly LogitsRequest[],
    results: LogitsResults,
  ): void {
    const { vocabSize } = this.#model.config
    const rows = requests.map(({ batchRow }) => batchRow)
    const numRows = Math.max(rows.length, Math.min(maxLogitRows, this.#paddedSize(rows.length)))
    rows.push(...Array.from({ length: numRows - rows.length }, () => rows[0] ?? 0))
    const logits = new Logits(
      tf.tidy(() => this.#model.computeLogits(gatherRows(hidden, rows), { ...context, tokens: Int32Array.from(rows) })),
    )
    assert(logits.tensor.size === numRows * vocabSize, 'logits have the wrong shape')
    const toSample = requests.flatMap(({ entry, promptTokenId }, row) =>
      promptTokenId === null ? [{ row, state: entry.row }] : [],
    )
    const sampled = this.#sampler.sample(logits, toSample)
    toSample.forEach(({ state }, i) => this.#take(state.id, sampled[i], results))
    requests.forEach((request, i) => {
      if (request.promptTokenId !== null)
        pushTo(results.scores, request.entry.row.id, scorePrompt(logits.row(i), request))
    })
    logits.tensor.dispose()
  }

  #take(id: string, result: SamplerResult | undefined, { sampled, failed }: LogitsResults): void {
    assert(result !== undefined, `the sampler has no result for sequence ${id}`)
    if ('error' in result) return void failed.push(failure(id, result.error))
    const { tokenId, logprobs } = result
    const isToken = Number.isInteger(tokenId) && tokenId >= 0 && tokenId < this.#model.config.vocabSize
    assert(isToken, `the sampler drew ${tokenId}, which is no token`)
    sampled.push({ id, tokenIds: [tokenId], logprobs: logprobs && [logprobs] })
  }
}

function failure(id: string, error: Error): SequenceFailure {
  return { id, error: toTransferredError(error) }
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
