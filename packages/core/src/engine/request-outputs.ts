import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { CompletionOutput, DecodedTokenLogprobs, RequestOutput } from '../sequence/outputs.ts'
import { numbersPerEntry, type PackedLogprobs } from '../sequence/packed-logprobs.ts'
import type { OutputKind } from './engine-client.ts'
import { type LogprobDecoder, maxDecodedAtOnce } from './logprob-decoder.ts'
import type { RequestRecord } from './request-record.ts'
import { type HeldOutput, type MessageSource, SampleOutput } from './sample-output.ts'
import { compileStops } from './stop-strings.ts'

export interface OutputRequest {
  readonly requestId: string
  /** The rendered prompt; `null` for token ids. */
  readonly prompt: string | null
  readonly promptTokenIds: readonly number[]
  readonly params: SamplingParams
  /** One per sample, in their order. */
  readonly sequenceIds: readonly string[]
  readonly outputKind: OutputKind
  /** Default 'none'. */
  readonly messages?: MessageSource
  /** Where it is counted. */
  readonly record?: RequestRecord
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
  /** With 'parts': whether the reader knows that there are some. */
  #isAnnounced = false

  constructor(request: OutputRequest, decoder: LogprobDecoder) {
    const { requestId, params, promptTokenIds, sequenceIds } = request
    this.requestId = requestId
    this.#request = request
    this.#decoder = decoder
    const common = {
      params,
      promptTokenIds,
      decoder,
      stops: compileStops(params.stop),
      messages: request.messages ?? 'none',
    }
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
    this.#request.record?.receive(index, update, sample)
    return { isFinished: sample.isFinished, endedHere }
  }

  abort(): void {
    for (const sample of this.#samples) if (!sample.isFinished) sample.finish('abort', null)
  }

  /** What the reader gets now; `null` = there is nothing new. */
  async take(): Promise<RequestOutput | null> {
    const { outputKind, requestId, prompt, promptTokenIds } = this.#request
    const fresh = this.#samples.filter((sample) => sample.hasNews)
    const isWhole = outputKind === 'final' || outputKind === 'parts'
    if (fresh.length === 0 || (isWhole && !this.isFinished)) return null
    const common = { requestId, prompt, promptTokenIds, numCachedTokens: this.#numCachedTokens }
    if (outputKind === 'parts' && !this.#isAnnounced) {
      this.#isAnnounced = true
      return { ...common, promptLogprobs: null, outputs: [], finished: false }
    }
    const isDelta = outputKind === 'delta' || outputKind === 'parts'
    const outputs = isDelta ? takeDeltas(fresh) : await Promise.all(this.#samples.map((sample) => sample.takeAll()))
    const finished = this.isFinished && this.#samples.every((sample) => !sample.hasNews)
    const promptLogprobs = isDelta || finished ? await this.#takePromptLogprobs() : null
    return { ...common, promptLogprobs, outputs, finished }
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

/** Of as many samples as have logprobs for one go; the others keep their news. */
function takeDeltas(fresh: readonly SampleOutput[]): CompletionOutput[] {
  const deltas: CompletionOutput[] = []
  let numDecoded = 0
  for (const sample of fresh) {
    const delta = sample.takeDelta()
    deltas.push(delta)
    for (const { top } of delta.logprobs ?? []) numDecoded += 1 + numbersPerEntry * (1 + top.length)
    if (sample.hasNews || numDecoded >= maxDecodedAtOnce) break
  }
  return deltas
}
