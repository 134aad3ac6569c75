import type { AttentionMetadata } from '../ops/attention-metadata.ts'
import { createTokenMask } from '../ops/token-mask.ts'
import { InvalidRequestError } from '../errors.ts'
import type { SamplingState } from '../sampling/sampling-state.ts'
import { ThinkingTracker } from '../sampling/thinking-tracker.ts'
import { TokenBiases } from '../sampling/token-biases.ts'
import { TokenCounts } from '../sampling/token-counts.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { CachedSequenceData, NewSequenceData, SchedulerOutput } from '../scheduler/scheduler-output.ts'
import { type GrammarSpec, grammarSpecOf } from '../structured-output/grammar-spec.ts'
import { assert } from '../util/assert.ts'
import { PoolingState } from './pooling-state.ts'

/** What the runner keeps of a running sequence between steps. */
export class SequenceRow implements SamplingState {
  readonly id: string
  readonly params: SamplingParams
  readonly tokenIds: number[]
  readonly numPromptTokens: number
  readonly blockIds: number[]
  readonly counts = new TokenCounts()
  readonly biases: TokenBiases
  /** What the output must match; `null`: anything may come. */
  readonly grammar: GrammarSpec | null
  readonly thinking: ThinkingTracker | null
  readonly eosTokenIds: readonly number[]
  readonly allowedMask: Int32Array | null
  /** What it is made of so far in place of tokens; `null`: it generates. */
  readonly pooling: PoolingState | null
  readonly tokenTypeIds: readonly number[] | null
  grammarMask: Int32Array | null = null
  /** The prompt has a token that the model has no row for. */
  readonly error: InvalidRequestError | null
  numComputedTokens: number

  constructor(data: NewSequenceData, vocabSize: number) {
    this.id = data.id
    this.params = data.params
    this.biases = new TokenBiases({ ...data, vocabSize })
    const { allowedTokenIds, thinking } = data.params
    this.grammar = grammarSpecOf(data.params, data.eosTokenIds)
    this.thinking = thinking && new ThinkingTracker(thinking)
    this.eosTokenIds = data.eosTokenIds
    this.allowedMask = allowedTokenIds && createTokenMask(allowedTokenIds, vocabSize)
    this.error = findTokenError(data.tokenIds, vocabSize)
    // Others may share the blocks before a token that is not there, so the sequence computes like any other.
    this.tokenIds =
      this.error === null ? [...data.tokenIds] : data.tokenIds.map((id) => (isToken(id, vocabSize) ? id : 0))
    this.pooling = data.pooling === undefined ? null : new PoolingState(data.pooling)
    this.tokenTypeIds = data.tokenTypeIds ?? null
    this.numPromptTokens = data.numPromptTokens
    this.blockIds = [...data.blockIds]
    this.numComputedTokens = data.numComputedTokens
  }

  update(data: CachedSequenceData): void {
    this.tokenIds.push(...data.newTokenIds)
    this.numComputedTokens = data.numComputedTokens
    for (const { index, blockId } of data.replacedBlocks) this.blockIds[index] = blockId
    this.blockIds.push(...data.newBlockIds)
  }

  /** Forgets output tokens from position `numTokens` on: drafts that were rejected. */
  cutBack(numTokens: number): void {
    this.counts.cutBack(this.tokenIds, numTokens)
    this.tokenIds.length = numTokens
  }
}

function isToken(id: number, vocabSize: number): boolean {
  return id >= 0 && id < vocabSize
}

function findTokenError(tokenIds: readonly number[], vocabSize: number): InvalidRequestError | null {
  const position = tokenIds.findIndex((id) => !isToken(id, vocabSize))
  if (position === -1) return null
  return new InvalidRequestError(
    `The prompt has token ${tokenIds[position]} at position ${position}, but the model's vocabulary is 0 to ${vocabSize - 1}: the tokenizer has a token that the model has no row for. Leave it out.`,
    'prompt',
  )
}

/** One step's scheduled slice of a sequence. */
export interface BatchEntry {
  readonly row: SequenceRow
  /** Its rows in the flattened batch: `[start, start + numTokens)`. */
  readonly start: number
  /** Drafts included. */
  readonly numTokens: number
  /** The last of them, which the row does not hold. */
  readonly draftTokenIds: readonly number[]
}

const noDrafts: readonly number[] = []

export interface BatchInputs {
  readonly inputIds: Int32Array // [numTokens]
  /** `null`: all are 0. */
  readonly tokenTypes: Int32Array | null // [numTokens]
  readonly attention: AttentionMetadata
  readonly entries: readonly BatchEntry[]
}

export interface InputBatchOptions {
  readonly blockSize: number
  /** Rows of the embedding. */
  readonly vocabSize: number
  /** To how many tokens a batch is filled up, with sequences of one token in the null block. */
  readonly paddedSize?: (numTokens: number) => number
}

/** The bridge between the plan's integers and the model's arrays: the only place that knows both. */
export class InputBatch {
  readonly #rows = new Map<string, SequenceRow>()
  readonly #blockSize: number
  readonly #vocabSize: number
  readonly #paddedSize: (numTokens: number) => number

  constructor({ blockSize, vocabSize, paddedSize = (numTokens) => numTokens }: InputBatchOptions) {
    this.#blockSize = blockSize
    this.#vocabSize = vocabSize
    this.#paddedSize = paddedSize
  }

  /** Brings the rows up to date with the plan and lays out the step. */
  prepare(plan: SchedulerOutput): BatchInputs {
    for (const id of plan.droppedIds) this.#rows.delete(id)
    for (const data of plan.newSequences) this.#rows.set(data.id, new SequenceRow(data, this.#vocabSize))
    for (const data of plan.cachedSequences) this.#get(data.id).update(data)
    return this.#layOut(plan)
  }

  #get(id: string): SequenceRow {
    const row = this.#rows.get(id)
    assert(row !== undefined, `the runner holds no sequence ${id}`)
    return row
  }

  /** One that is no token is never accepted, whatever is computed in its place. */
  #draft(tokenId: number | undefined): number {
    return tokenId !== undefined && isToken(tokenId, this.#vocabSize) ? tokenId : 0
  }

  #layOut({ scheduled, numTokens: numScheduled }: SchedulerOutput): BatchInputs {
    const rows = scheduled.map(({ id }) => this.#get(id))
    const numTokens = this.#paddedSize(numScheduled)
    const numSeqs = rows.length + numTokens - numScheduled
    const maxBlocksPerSeq = Math.max(1, ...rows.map((row) => row.blockIds.length))
    const inputIds = new Int32Array(numTokens)
    const tokenTypes = rows.some(({ tokenTypeIds }) => tokenTypeIds !== null) ? new Int32Array(numTokens) : null
    const positions = new Int32Array(numTokens)
    const slotMapping = new Int32Array(numTokens)
    const queryStartLoc = new Int32Array(numSeqs + 1)
    const seqLens = new Int32Array(numSeqs)
    const promptLens = new Int32Array(numSeqs)
    const blockTables = new Int32Array(numSeqs * maxBlocksPerSeq)
    const entries: BatchEntry[] = []
    let at = 0
    rows.forEach((row, s) => {
      const { numTokens: count, draftTokenIds = noDrafts } = scheduled[s]!
      entries.push({ row, start: at, numTokens: count, draftTokenIds })
      blockTables.set(row.blockIds, s * maxBlocksPerSeq)
      if (row.tokenTypeIds !== null)
        tokenTypes?.set(row.tokenTypeIds.slice(row.numComputedTokens, row.numComputedTokens + count), at)
      for (let i = 0; i < count; i++, at++) {
        const position = row.numComputedTokens + i
        inputIds[at] = row.tokenIds[position] ?? this.#draft(draftTokenIds[position - row.tokenIds.length])
        positions[at] = position
        slotMapping[at] =
          row.blockIds[Math.floor(position / this.#blockSize)]! * this.#blockSize + (position % this.#blockSize)
      }
      queryStartLoc[s + 1] = at
      seqLens[s] = row.numComputedTokens + count
      promptLens[s] = row.numPromptTokens
    })
    const attention = {
      numTokens,
      numSeqs,
      blockSize: this.#blockSize,
      queryStartLoc,
      seqLens,
      promptLens,
      blockTables,
      maxBlocksPerSeq,
      slotMapping,
      positions,
    }
    this.#fillUp(attention, entries)
    return { inputIds, tokenTypes, attention, entries }
  }

  /** As long as the longest decode of the batch, so that they attend together with it; their blocks are the null block. */
  #fillUp(
    { numSeqs, queryStartLoc, seqLens, promptLens, positions, slotMapping }: Padded,
    entries: readonly BatchEntry[],
  ): void {
    const length = entries.reduce((max, { numTokens }, s) => (numTokens === 1 ? Math.max(max, seqLens[s]!) : max), 1)
    for (let s = entries.length; s < numSeqs; s++) {
      const at = queryStartLoc[s]!
      queryStartLoc[s + 1] = at + 1
      seqLens[s] = length
      promptLens[s] = 1
      positions[at] = length - 1
      slotMapping[at] = (length - 1) % this.#blockSize
    }
  }
}

type Padded = AttentionMetadata & Required<Pick<AttentionMetadata, 'promptLens'>>
