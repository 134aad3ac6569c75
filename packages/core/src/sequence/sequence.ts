import type { SamplingParams } from '../sampling-params.ts'
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
  /** Id of the leader sample of the same request, whose prompt KV this one shares; `null` for the leader itself. */
  readonly forkOf: string | null
}

/** Mutable state of one row being decoded. Tokens are the prompt followed by the output. */
export class Sequence {
  readonly id: string
  readonly promptTokenIds: readonly number[]
  readonly params: SamplingParams
  readonly eosTokenIds: readonly number[]
  readonly priority: number
  readonly arrivalTime: number
  readonly cacheSalt: string | null
  readonly forkOf: string | null
  /** Order of insertion into the scheduler: the last tie-breaker. */
  readonly ordinal: number
  /** Of the full blocks of this sequence's tokens so far, first to last; the KV cache manager extends it. */
  readonly blockHashes: string[] = []

  status: SequenceStatus = 'waiting'
  /** Tokens whose KV is in the sequence's blocks, the step in flight not counted. */
  numComputedTokens = 0
  /** Prompt tokens whose KV came from the prefix cache at first admission; `null` before it. */
  numCachedTokens: number | null = null
  numPreemptions = 0

  readonly #outputTokenIds: number[] = []
  #finishReason: FinishReason | null = null
  #stopReason: number | null = null

  constructor(request: SequenceRequest, ordinal = 0) {
    assert(request.promptTokenIds.length > 0, `sequence ${request.id} has no prompt tokens`)
    this.id = request.id
    this.promptTokenIds = request.promptTokenIds
    // The prompt's logprobs are the same for all samples: the leader reports them.
    this.params = request.forkOf === null ? request.params : { ...request.params, promptLogprobs: null }
    this.eosTokenIds = request.eosTokenIds
    this.priority = request.priority
    this.arrivalTime = request.arrivalTime
    this.cacheSalt = request.cacheSalt
    this.forkOf = request.forkOf
    this.ordinal = ordinal
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

  /** Cached blocks bring no hidden states, and a prompt's logprobs need those of every prompt token. */
  get skipsReadingPrefixCache(): boolean {
    return this.params.promptLogprobs !== null
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
