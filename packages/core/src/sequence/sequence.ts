import type { SamplingParams } from '../sampling-params.ts'
import type { SequencePooling } from './sequence-pooling.ts'
import { assert } from '../util/assert.ts'
import type { FinishReason } from './outputs.ts'
import type { SequenceStatus } from './sequence-status.ts'

/** One row to decode: plain data that crosses threads. A request with `n` samples becomes `n` of these. */
export interface SequenceRequest {
  readonly id: string
  readonly promptTokenIds: readonly number[]
  readonly params: SamplingParams
  readonly eosTokenIds: readonly number[]
  /** Lower runs earlier, with the priority policy only. */
  readonly priority: number
  /** Milliseconds on any one clock; breaks ties of priority. */
  readonly arrivalTime: number
  /** Sequences share cached blocks only where their salts are equal. */
  readonly cacheSalt: string | null
  /** What else tells apart KV of equal tokens, as pairs of a kind and a value; the same for all samples of a request. */
  readonly cacheKeys?: readonly string[]
  /** Id of the leader sample of the same request, whose prompt KV this one shares; `null` for the leader itself. */
  readonly forkOf: string | null
  /** Nothing is sampled: the sequence ends with its prompt. Left out where it generates. */
  readonly pooling?: SequencePooling
  /** Of an encoder's prompt of two texts: which token is of which; left out: all are of the first. */
  readonly tokenTypeIds?: readonly number[]
}

/** When things happened to a sequence, in milliseconds on the scheduler's clock: by default those since 1970. */
export interface SequenceTimes {
  readonly queuedMs: number
  /** When a step first took it; not again after a preemption. */
  readonly scheduledMs: number | null
  readonly firstTokenMs: number | null
  readonly lastTokenMs: number | null
}

/** Where a sequence comes from besides its request. */
export interface SequenceOrigin {
  /** Order of insertion into the scheduler: the last tie-breaker. */
  readonly ordinal?: number
  readonly queuedMs?: number
}

/** Mutable state of one request being decoded. Tokens are the prompt followed by the output. */
export class Sequence {
  readonly request: SequenceRequest
  /** The request's, but the prompt's logprobs, which are the same for all samples, are the leader's to report. */
  readonly params: SamplingParams
  readonly ordinal: number
  /** Of the full blocks of this sequence's tokens so far, first to last; the KV cache manager extends it. */
  readonly blockHashes: string[] = []

  status: SequenceStatus = 'waiting'
  /** Tokens whose KV is in the sequence's blocks, once the plans in flight have returned. */
  numComputedTokens = 0
  /** Plans in flight that have it. Until they return its blocks are theirs. */
  numPlansInFlight = 0
  /** Of its tokens, those that plans have told the runner. */
  numPlannedTokens = 0
  /** Prompt tokens whose KV came from the prefix cache at first admission; `null` before it. */
  numCachedTokens: number | null = null
  numPreemptions = 0
  times: SequenceTimes

  readonly #outputTokenIds: number[] = []
  #finishReason: FinishReason | null = null
  #stopReason: number | null = null

  constructor(request: SequenceRequest, { ordinal = 0, queuedMs = 0 }: SequenceOrigin = {}) {
    assert(request.promptTokenIds.length > 0, `sequence ${request.id} has no prompt tokens`)
    this.request = request
    this.params = request.forkOf === null ? request.params : { ...request.params, promptLogprobs: null }
    this.ordinal = ordinal
    this.times = { queuedMs, scheduledMs: null, firstTokenMs: null, lastTokenMs: null }
  }

  get id(): string {
    return this.request.id
  }

  get promptTokenIds(): readonly number[] {
    return this.request.promptTokenIds
  }

  get outputTokenIds(): readonly number[] {
    return this.#outputTokenIds
  }

  get numPromptTokens(): number {
    return this.promptTokenIds.length
  }

  get numOutputTokens(): number {
    return this.#outputTokenIds.length
  }

  get numTokens(): number {
    return this.numPromptTokens + this.numOutputTokens
  }

  get finishReason(): FinishReason | null {
    return this.#finishReason
  }

  /** The stop token id that ended it; `null` for end-of-sequence and other reasons. */
  get stopReason(): number | null {
    return this.#stopReason
  }

  /** All its tokens are computed or in flight: it has nothing to compute until the next one is sampled. */
  get isCaughtUp(): boolean {
    return this.numComputedTokens >= this.numTokens
  }

  /** `null`: it generates. */
  get pooling(): SequencePooling | null {
    return this.request.pooling ?? null
  }

  /** Cached blocks bring no hidden states, and a prompt's logprobs need those of every prompt token, as most vectors do. */
  get skipsReadingPrefixCache(): boolean {
    return this.params.promptLogprobs !== null || (this.pooling !== null && this.pooling.type !== 'last')
  }

  /** A copy of tokens `start .. end`. */
  tokenIds(start = 0, end = this.numTokens): number[] {
    const numPrompt = this.numPromptTokens
    if (end <= numPrompt) return this.promptTokenIds.slice(start, end)
    if (start >= numPrompt) return this.#outputTokenIds.slice(start - numPrompt, end - numPrompt)
    return [...this.promptTokenIds.slice(start), ...this.#outputTokenIds.slice(0, end - numPrompt)]
  }

  appendOutputToken(tokenId: number): void {
    this.#outputTokenIds.push(tokenId)
  }

  finish(reason: FinishReason, stopReason: number | null = null): void {
    assert(this.status !== 'finished', `sequence ${this.id} finished twice`)
    this.status = 'finished'
    this.#finishReason = reason
    this.#stopReason = stopReason
  }
}
