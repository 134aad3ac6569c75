import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { DecodedTokenLogprobs, RequestOutput } from '../sequence/outputs.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'
import { LogprobDecoder } from './logprob-decoder.ts'
import { SampleOutput } from './sample-output.ts'
import { compileStops } from './stop-strings.ts'

export interface OutputRequest {
  readonly requestId: string
  /** The rendered prompt; `null` for token ids. */
  readonly prompt: string | null
  readonly promptTokenIds: readonly number[]
  readonly params: SamplingParams
  /** One per sample, in their order. */
  readonly sequenceIds: readonly string[]
  readonly outputKind: 'delta' | 'cumulative' | 'final'
}

export interface ProcessedUpdates {
  readonly outputs: readonly RequestOutput[]
  /** Ended here by a stop string: the engine must abort them. */
  readonly abortedSequenceIds: readonly string[]
}

interface RequestState {
  readonly request: OutputRequest
  readonly samples: readonly SampleOutput[]
  promptLogprobs: readonly (DecodedTokenLogprobs | null)[] | null
  numCachedTokens: number
}

/** Turns the engine's token ids into the text of requests: detokenizes, checks stop strings, forms deltas. */
export class OutputProcessor {
  readonly #decoder: LogprobDecoder
  readonly #requests = new Map<string, RequestState>()
  readonly #sequences = new Map<string, { readonly state: RequestState; readonly sample: SampleOutput }>()

  constructor(tokenizer: Tokenizer) {
    this.#decoder = new LogprobDecoder(tokenizer)
  }

  addRequest(request: OutputRequest): void {
    const { params, promptTokenIds, sequenceIds } = request
    const common = { params, promptTokenIds, decoder: this.#decoder, stops: compileStops(params.stop) }
    const samples = sequenceIds.map((_, index) => new SampleOutput({ ...common, index }))
    const state: RequestState = { request, samples, promptLogprobs: null, numCachedTokens: 0 }
    this.#requests.set(request.requestId, state)
    sequenceIds.forEach((id, i) => this.#sequences.set(id, { state, sample: samples[i]! }))
  }

  /** Updates of sequences that are unknown, because they were aborted in the meantime, are passed over. */
  process(updates: readonly SequenceUpdate[]): ProcessedUpdates {
    const touched = new Set<RequestState>()
    const abortedSequenceIds: string[] = []
    for (const update of updates) {
      const found = this.#sequences.get(update.id)
      if (found === undefined) continue
      const { state, sample } = found
      touched.add(state)
      if (update.promptLogprobs !== null)
        state.promptLogprobs = update.promptLogprobs.map((entry) => entry && this.#decoder.decode(entry))
      if (sample.index === 0) state.numCachedTokens = update.numCachedTokens
      if (sample.push(update)) abortedSequenceIds.push(update.id)
      if (sample.isFinished) this.#sequences.delete(update.id)
    }
    const outputs = [...touched].flatMap((state) => this.#collect(state) ?? [])
    return { outputs, abortedSequenceIds }
  }

  /** The request that a sequence samples; `null` once it has ended. */
  requestOf(sequenceId: string): string | null {
    return this.#sequences.get(sequenceId)?.state.request.requestId ?? null
  }

  /** Ends a request; its last output says so with finishReason 'abort'. `null` if it has ended already. */
  abort(requestId: string): RequestOutput | null {
    const state = this.#requests.get(requestId)
    if (state === undefined) return null
    for (const sample of state.samples) if (!sample.isFinished) sample.finish('abort', null)
    return this.#collect(state)
  }

  /** The output that the consumer gets now, if any; forgets the request once it is complete. */
  #collect(state: RequestState): RequestOutput | null {
    const { request, samples, promptLogprobs, numCachedTokens } = state
    const { requestId, prompt, promptTokenIds, outputKind } = request
    const finished = samples.every((sample) => sample.isFinished)
    if (finished) {
      this.#requests.delete(requestId)
      for (const id of request.sequenceIds) this.#sequences.delete(id)
    }
    if (outputKind === 'final' && !finished) return null
    const outputs =
      outputKind === 'delta'
        ? samples.filter((sample) => sample.hasChanged).map((sample) => sample.delta())
        : samples.map((sample) => sample.all())
    return {
      requestId,
      prompt,
      promptTokenIds,
      promptLogprobs: outputKind === 'delta' || finished ? promptLogprobs : null,
      outputs,
      finished,
      numCachedTokens,
    }
  }
}
