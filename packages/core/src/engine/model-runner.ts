import * as tf from '@tensorflow/tfjs-core'
import { toTransferredError } from '../error-transfer.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import type { CausalLM } from '../models/model.ts'
import { Logits } from '../sampling/logits.ts'
import { computeLogprobs } from '../sampling/logprobs.ts'
import { sampleWithin } from '../sampling/sample-within.ts'
import { type Sampler, type SamplerResult, type SamplerRow, TokenSampler } from '../sampling/sampler.ts'
import type {
  ModelRunnerOutput,
  PooledSequence,
  PromptLogprobs,
  SampledTokens,
  SchedulerOutput,
  SequenceFailure,
} from '../scheduler/scheduler-output.ts'
import type { TokenLogprobs } from '../sequence/outputs.ts'
import type { GrammarPool } from '../structured-output/grammar-pool.ts'
import type { KvStorage } from '../tensor/kv-storage.ts'
import { assert } from '../util/assert.ts'
import { DrawLimits } from './draw-limits.ts'
import { type BatchEntry, type BatchInputs, InputBatch } from './input-batch.ts'
import { type ComputedRows, Pooler } from './pooler.ts'

export interface ModelRunnerOptions {
  readonly model: CausalLM
  readonly kv: KvStorage
  /** To how many tokens batches, and rows of logits, are filled up; default: to none more. */
  readonly paddedSize?: (numTokens: number) => number
  /**
   * By default `new TokenSampler()`; with logits processors, `new TokenSampler([…])`. `null` where another rank of the group
   * draws: then this one helps to compute the logits and returns nothing drawn or scored.
   */
  readonly sampler?: Sampler | null
  /** Of the rank that draws; left out where sequences have no grammars. */
  readonly grammars?: GrammarPool | null
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
  /** Of the entry's drafts, those up to this position. */
  readonly numDrafts: number
}

interface TokenRequest {
  /** Which row of the logits. */
  readonly row: number
  readonly entry: BatchEntry
  readonly numDrafts: number
}

/** Logits, and who draws from them. */
interface Draw {
  readonly sampler: Sampler
  readonly logits: Logits
}

interface LogitsResults {
  readonly sampled: SampledTokens[]
  /** Those of `sampled` that grow while drafts are verified, by sequence id. */
  readonly drafted: Map<string, { readonly tokenIds: number[]; readonly logprobs: TokenLogprobs[] | null }>
  readonly failed: SequenceFailure[]
  readonly deferred: string[]
  /** By sequence id. */
  readonly scores: Map<string, TokenLogprobs[]>
}

/** Runs a plan on this rank: batch arrays → forward → logits → samples, or a stage of that. Owns the model and the KV cache. */
export class ModelRunner {
  readonly #model: CausalLM
  /** `null` while it is given back. */
  #kv: KvStorage | null
  readonly #batch: InputBatch
  readonly #paddedSize: (numTokens: number) => number
  readonly #sampler: Sampler | null
  readonly #limits: DrawLimits
  readonly #pooler: Pooler

  constructor(options: ModelRunnerOptions) {
    const { model, kv, paddedSize = (numTokens) => numTokens, sampler = new TokenSampler(), grammars = null } = options
    this.#limits = new DrawLimits(grammars, model.config.vocabSize)
    this.#pooler = new Pooler(model.heads)
    this.#model = model
    this.#kv = kv
    this.#paddedSize = paddedSize
    this.#sampler = sampler
    this.#batch = new InputBatch({ blockSize: kv.layout.blockSize, vocabSize: model.config.vocabSize, paddedSize })
  }

  /** @param input of a stage behind others: what `executeStage` of the one before it gave */
  executeModel(plan: SchedulerOutput, input: tf.Tensor2D | null = null): ModelRunnerOutput {
    const batch = this.#prepare(plan)
    if (plan.numTokens === 0) {
      this.#limits.begin([], plan.droppedIds)
      return { sampled: [], promptLogprobs: [], failed: [] }
    }
    const { entries } = batch
    const sound = entries.filter(({ row }) => row.error === null)
    const requests = sound.flatMap(logitsRequests)
    this.#limits.begin(sound.filter(isCatchingUp), plan.droppedIds)
    const failed = entries.flatMap(({ row }) => (row.error === null ? [] : [failure(row.id, row.error)]))
    const results: LogitsResults = { sampled: [], drafted: new Map(), failed, deferred: [], scores: new Map() }
    let pooled: readonly PooledSequence[] = []
    tf.tidy(() => {
      const hidden = this.#model.forward(input ?? batch.inputIds, batch.context)
      pooled = this.#pool({ hidden, context: batch.context }, sound, failed)
      for (let start = 0; start < requests.length; start += maxLogitRows) {
        this.#useLogits({ hidden, context: batch.context }, requests.slice(start, start + maxLogitRows), results)
      }
    })
    for (const entry of sound) if (entry.draftTokenIds.length > 0) entry.row.cutBack(numOwnTokens(entry))
    const promptLogprobs = sound.flatMap((entry) => promptLogprobsOf(entry, results.scores))
    const { sampled, deferred } = results
    return {
      sampled,
      promptLogprobs,
      failed,
      ...(deferred.length > 0 && { deferred }),
      ...(pooled.length > 0 && { pooled }),
    }
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

  releaseKvCache(): void {
    this.#kv?.dispose()
    this.#kv = null
  }

  restoreKvCache(kv: KvStorage): void {
    assert(this.#kv === null, 'a runner has one KV cache')
    this.#kv = kv
  }

  dispose(): void {
    this.#model.dispose()
    this.#kv?.dispose()
  }

  #prepare(plan: SchedulerOutput): BatchInputs & { context: ForwardContext } {
    const batch = this.#batch.prepare(plan)
    const kv = this.#kv
    assert(kv !== null, 'a plan runs without a KV cache')
    for (const { from, to } of plan.blockCopies) kv.copyBlock(from, to)
    const { attention: metadata, tokenTypes } = batch
    return { ...batch, context: { metadata, kv, tokens: null, ...(tokenTypes && { tokenTypes }) } }
  }

  /** On every rank, as layers behind the pooling may be shared; only the one that draws says what came of it. */
  #pool(
    computed: ComputedRows,
    entries: readonly BatchEntry[],
    failures: SequenceFailure[],
  ): readonly PooledSequence[] {
    const { pooled, failed } = this.#pooler.run(computed, entries)
    if (this.#sampler === null) return []
    failures.push(...failed)
    return pooled
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
    if (this.#sampler !== null) this.#sample({ sampler: this.#sampler, logits }, requests, results)
    logits.tensor.dispose()
  }

  /**
   * Draws what follows each draft only once the drafts up to it were drawn themselves, with the row in the state of that
   * moment: no draw depends on a draft that is rejected, and the sampler is asked as it would be without drafts.
   */
  #sample(draw: Draw, requests: readonly LogitsRequest[], results: LogitsResults): void {
    const first: TokenRequest[] = []
    const behindDrafts: TokenRequest[] = []
    requests.forEach(({ entry, promptTokenId, numDrafts }, row) => {
      if (promptTokenId !== null) return
      const queue = numDrafts === 0 ? first : behindDrafts
      queue.push({ row, entry, numDrafts })
    })
    this.#draw(draw, first, results)
    const maxDrafts = behindDrafts.reduce((max, { numDrafts }) => Math.max(max, numDrafts), 0)
    for (let n = 1; n <= maxDrafts; n++) {
      const next = behindDrafts.filter(({ entry, numDrafts }) => numDrafts === n && numAccepted(entry) === n)
      this.#draw(draw, next, results)
    }
    requests.forEach((request, i) => {
      if (request.promptTokenId !== null)
        pushTo(results.scores, request.entry.row.id, scorePrompt(draw.logits.row(i), request))
    })
  }

  #draw({ sampler, logits }: Draw, requests: readonly TokenRequest[], results: LogitsResults): void {
    const drawn: TokenRequest[] = []
    const rows: SamplerRow[] = []
    for (const request of requests) {
      const { row, entry, numDrafts } = request
      const limit = this.#limits.at(entry.row, numDrafts)
      if ('state' in limit) {
        drawn.push(request)
        rows.push({ row, state: limit.state })
      } else if ('isLate' in limit) {
        // Behind accepted drafts the last of them is computed again in any case.
        if (numDrafts === 0) results.deferred.push(entry.row.id)
      } else this.#take(request, 'error' in limit ? limit : forced(logits, request, limit.forcedTokenId), results)
    }
    if (rows.length === 0) return
    const sampled = sampleWithin(sampler, logits, rows)
    drawn.forEach((request, i) => this.#take(request, sampled[i], results))
  }

  #take({ entry, numDrafts }: TokenRequest, result: SamplerResult | undefined, results: LogitsResults): void {
    const { row, draftTokenIds } = entry
    const { id } = row
    assert(result !== undefined, `the sampler has no result for sequence ${id}`)
    if ('error' in result) {
      // Behind accepted drafts the sequence fails in the next step: its tokens so far are good.
      if (numDrafts === 0) results.failed.push(failure(id, result.error))
      return
    }
    const { tokenId, logprobs } = result
    const isToken = Number.isInteger(tokenId) && tokenId >= 0 && tokenId < this.#model.config.vocabSize
    assert(isToken, `the sampler drew ${tokenId}, which is no token`)
    if (numDrafts === 0) {
      const sampled = { id, tokenIds: [tokenId], logprobs: logprobs && [logprobs] }
      results.sampled.push(sampled)
      if (draftTokenIds.length > 0) results.drafted.set(id, sampled)
    } else {
      const sampled = results.drafted.get(id)
      sampled?.tokenIds.push(tokenId)
      if (logprobs !== null) sampled?.logprobs?.push(logprobs)
    }
    if (tokenId === draftTokenIds[numDrafts]) row.tokenIds.push(tokenId)
  }
}

/** A token that nothing else may come for. */
function forced(logits: Logits, { row, entry }: TokenRequest, tokenId: number): SamplerResult {
  const { logprobs } = entry.row.params
  return { tokenId, logprobs: logprobs === null ? null : computeLogprobs(logits.row(row), tokenId, logprobs) }
}

/** Its next token is drawn. */
function isCatchingUp(entry: BatchEntry): boolean {
  return entry.row.pooling === null && numOwnTokens(entry) >= entry.row.tokenIds.length
}

/** Of the tokens computed for the entry's row, drafts do not count. */
function numOwnTokens({ row, numTokens, draftTokenIds }: BatchEntry): number {
  return row.numComputedTokens + numTokens - draftTokenIds.length
}

/** So far, of the entry's drafts: the row has taken them in. */
function numAccepted(entry: BatchEntry): number {
  return entry.row.tokenIds.length - numOwnTokens(entry)
}

function failure(id: string, error: Error): SequenceFailure {
  return { id, error: toTransferredError(error) }
}

function gatherRows(x: tf.Tensor2D, rows: readonly number[]): tf.Tensor2D {
  return tf.gather(x, tf.tensor1d(rows as number[], 'int32'))
}

function logitsRequests(entry: BatchEntry): LogitsRequest[] {
  const { row, start, numTokens, draftTokenIds } = entry
  const requests: LogitsRequest[] = []
  if (row.params.promptLogprobs !== null) {
    for (let i = 0; i < numTokens; i++) {
      const next = row.numComputedTokens + i + 1
      if (next < row.numPromptTokens)
        requests.push({ entry, batchRow: start + i, promptTokenId: row.tokenIds[next]!, numDrafts: 0 })
    }
  }
  if (!isCatchingUp(entry)) return requests
  const first = start + numTokens - draftTokenIds.length - 1
  for (let numDrafts = 0; numDrafts <= draftTokenIds.length; numDrafts++)
    requests.push({ entry, batchRow: first + numDrafts, promptTokenId: null, numDrafts })
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
