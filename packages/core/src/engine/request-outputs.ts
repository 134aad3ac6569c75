import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { DecodedTokenLogprobs, RequestOutput } from '../sequence/outputs.ts'
import type { PackedLogprobs } from '../sequence/packed-logprobs.ts'
import type { LogprobDecoder } from './logprob-decoder.ts'
import { type HeldOutput, SampleOutput } from './sample-output.ts'
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

/**
 * What the samples of a request have yielded, until its reader takes it. Outputs are made when they are taken: for a
 * reader that is slow, what waits is bounded by the request's own length, and is one output.
 */
export class RequestOutputs {
  readonly requestId: string
  readonly #request: OutputRequest
  readonly #decoder: LogprobDecoder
  readonly #samples: readonly SampleOutput[]
  #packedPromptLogprobs: PackedLogprobs | null = null
  #promptLogprobs: readonly (DecodedTokenLogprobs | null)[] | null = null
  #numCachedTokens = 0

  constructor(request: OutputRequest, decoder: LogprobDecoder) {
    const { requestId, params, promptTokenIds, sequenceIds } = request
    this.requestId = requestId
    this.#request = request
    this.#decoder = decoder
    const common = { params, promptTokenIds, decoder, stops: compileStops(params.stop) }
    this.#samples = sequenceIds.map((_, index) => new SampleOutput({ ...common, index }))
  }

  get sequenceIds(): readonly string[] {
    return this.#request.sequenceIds
  }

  get isFinished(): boolean {
    return this.#samples.every((sample) => sample.isFinished)
  }

  /** What waits for the reader, of all samples. */
  get numHeld(): HeldOutput {
    const sum = (count: (held: HeldOutput) => number): number =>
      this.#samples.reduce((total, sample) => total + count(sample.numHeld), 0)
    return {
      tokens: sum((held) => held.tokens),
      logprobNumbers: sum((held) => held.logprobNumbers),
      characters: sum((held) => held.characters),
    }
  }

  /** Takes what a step added to sample `index`. */
  push(index: number, update: SequenceUpdate): { readonly isFinished: boolean; readonly endedHere: boolean } {
    const sample = this.#samples[index]!
    if (update.promptLogprobs !== null) this.#packedPromptLogprobs = update.promptLogprobs
    if (index === 0) this.#numCachedTokens = update.numCachedTokens
    const endedHere = sample.push(update)
    return { isFinished: sample.isFinished, endedHere }
  }

  abort(): void {
    for (const sample of this.#samples) if (!sample.isFinished) sample.finish('abort', null)
  }

  /** What the reader gets now; `null` = there is nothing new. */
  async take(): Promise<RequestOutput | null> {
    const { outputKind, requestId, prompt, promptTokenIds } = this.#request
    const fresh = this.#samples.filter((sample) => sample.hasNews)
    if (fresh.length === 0 || (outputKind === 'final' && !this.isFinished)) return null
    const isDelta = outputKind === 'delta'
    const outputs = isDelta
      ? fresh.map((sample) => sample.takeDelta())
      : await Promise.all(this.#samples.map((sample) => sample.takeAll()))
    const finished = this.isFinished && this.#samples.every((sample) => !sample.hasNews)
    return {
      requestId,
      prompt,
      promptTokenIds,
      promptLogprobs: isDelta || finished ? await this.#takePromptLogprobs() : null,
      outputs,
      finished,
      numCachedTokens: this.#numCachedTokens,
    }
  }

  async #takePromptLogprobs(): Promise<readonly (DecodedTokenLogprobs | null)[] | null> {
    const packed = this.#packedPromptLogprobs
    if (packed !== null) {
      this.#packedPromptLogprobs = null
      this.#promptLogprobs = await this.#decoder.decodeInTurns([packed])
    }
    return this.#promptLogprobs
  }
}
