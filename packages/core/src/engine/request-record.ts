import { OctavoError } from '../errors.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { FinishReason } from '../sequence/outputs.ts'
import type { SequenceTimes } from '../sequence/sequence.ts'
import type { RequestTotals } from './request-totals.ts'

/** How one request went, told once it has ended in whatever way; nothing of what it said. */
export interface RequestStats {
  readonly numPromptTokens: number
  /** Prompt tokens whose KV came from the prefix cache. */
  readonly numCachedTokens: number
  /** Of all samples. */
  readonly numGenerationTokens: number
  /** One per sample; 'abort' or 'error' for those that the end of the request cut off. */
  readonly finishReasons: readonly FinishReason[]
  /** `null`: it only pools. */
  readonly params: Pick<SamplingParams, 'maxTokens' | 'temperature' | 'topP' | 'n'> | null
  /** Milliseconds since 1970 on the front's clock, as `firstTokenMs` and `endedMs`. */
  readonly arrivedMs: number
  /** When the first token of any sample was there; `null` = never. */
  readonly firstTokenMs: number | null
  readonly endedMs: number
  /** Of the first sample, on the engine thread's clock; `null` where that had nothing to tell yet. */
  readonly times: SequenceTimes | null
}

export interface MeteredRequest {
  readonly arrivedMs: number
  readonly numPromptTokens: number
  readonly numSamples: number
  /** `null`: it only pools. */
  readonly params: SamplingParams | null
  readonly onEnd?: ((stats: RequestStats) => void) | undefined
}

interface RecordOptions {
  readonly totals: RequestTotals
  readonly clock: () => number
  readonly maxModelLen: number
}

interface SampleRecord {
  numTokens: number
  times: SequenceTimes | null
  finishReason: FinishReason | null
}

/** One request while it is counted. */
export class RequestRecord {
  readonly #request: MeteredRequest
  readonly #options: RecordOptions
  readonly #samples: readonly SampleRecord[]
  #numCachedTokens: number | null = null
  #firstTokenMs: number | null = null
  #hasEnded = false

  constructor(request: MeteredRequest, options: RecordOptions) {
    this.#request = request
    this.#options = options
    this.#samples = Array.from({ length: request.numSamples }, () => ({
      numTokens: 0,
      times: null,
      finishReason: null,
    }))
  }

  /** Takes what a step told of a sample, and what the text made of it: a stop string may have ended it. */
  receive(index: number, update: SequenceUpdate, { numTokens, finishReason }: SampleState): void {
    const sample = this.#samples[index]!
    if (sample.finishReason !== null) return
    if (numTokens > sample.numTokens) this.#countTokens(sample, update, numTokens - sample.numTokens)
    sample.numTokens = numTokens
    sample.times = update.times
    if (finishReason !== null) this.#finish(sample, finishReason, update)
  }

  /** What has not ended by itself ends with the request: by its error, or as its caller has left. */
  end(error: Error | null): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    const { totals, clock } = this.#options
    for (const sample of this.#samples) {
      if (sample.finishReason !== null) continue
      sample.finishReason = error === null ? 'abort' : 'error'
      totals.finished[sample.finishReason]++
    }
    if (OctavoError.isInstance(error) && error.code === 'invalid_logits') totals.corrupted++
    if (this.#samples.every(({ finishReason }) => isOwnEnd(finishReason))) this.#observeRequest()
    this.#request.onEnd?.(this.#stats(clock()))
  }

  #countTokens(sample: SampleRecord, update: SequenceUpdate, numNew: number): void {
    const { totals, clock } = this.#options
    const { histograms } = totals
    totals.generationTokens += numNew
    if (sample.numTokens > 0) {
      histograms.interTokenLatency.observe(seconds(sample.times?.lastTokenMs, update.times.lastTokenMs))
      return
    }
    const nowMs = clock()
    this.#firstTokenMs ??= nowMs
    histograms.timeToFirstToken.observe(seconds(this.#request.arrivedMs, nowMs))
    this.#countPrompt(update)
  }

  #countPrompt({ numCachedTokens }: SequenceUpdate): void {
    if (this.#numCachedTokens !== null) return
    this.#numCachedTokens = numCachedTokens
    this.#options.totals.promptTokens += this.#request.numPromptTokens
    this.#options.totals.cachedPromptTokens += numCachedTokens
  }

  #finish(sample: SampleRecord, reason: FinishReason, update: SequenceUpdate): void {
    const { totals, clock, maxModelLen } = this.#options
    const { arrivedMs, numPromptTokens, params } = this.#request
    sample.finishReason = reason
    totals.finished[reason]++
    if (!isOwnEnd(reason)) return
    this.#countPrompt(update)
    const { histograms } = totals
    const { queuedMs, scheduledMs, firstTokenMs, lastTokenMs } = update.times
    histograms.endToEnd.observe(seconds(arrivedMs, clock()))
    histograms.queueTime.observe(seconds(queuedMs, scheduledMs))
    histograms.inferenceTime.observe(seconds(scheduledMs, lastTokenMs))
    histograms.prefillTime.observe(seconds(scheduledMs, firstTokenMs))
    histograms.promptTokens.observe(numPromptTokens)
    histograms.computedPromptTokens.observe(numPromptTokens - update.numCachedTokens)
    if (params === null) return
    const decodeTime = seconds(firstTokenMs, lastTokenMs)
    histograms.decodeTime.observe(decodeTime)
    histograms.timePerOutputToken.observe(sample.numTokens > 1 ? decodeTime / (sample.numTokens - 1) : 0)
    histograms.generationTokens.observe(sample.numTokens)
    histograms.maxTokens.observe(params.maxTokens ?? maxModelLen - numPromptTokens)
  }

  #observeRequest(): void {
    const { histograms } = this.#options.totals
    if (this.#request.params === null) return
    histograms.numSamples.observe(this.#samples.length)
    histograms.maxGenerationTokens.observe(Math.max(...this.#samples.map(({ numTokens }) => numTokens)))
  }

  #stats(endedMs: number): RequestStats {
    const { arrivedMs, numPromptTokens, params } = this.#request
    return {
      numPromptTokens,
      numCachedTokens: this.#numCachedTokens ?? 0,
      numGenerationTokens: this.#samples.reduce((total, { numTokens }) => total + numTokens, 0),
      finishReasons: this.#samples.map(({ finishReason }) => finishReason ?? 'abort'),
      params,
      arrivedMs,
      firstTokenMs: this.#firstTokenMs,
      endedMs,
      times: this.#samples[0]?.times ?? null,
    }
  }
}

/** What the text side of a sample has taken so far. */
export interface SampleState {
  readonly numTokens: number
  readonly finishReason: FinishReason | null
}

/** An abort or a failure says nothing of how fast the engine is. */
function isOwnEnd(reason: FinishReason | null): boolean {
  return reason === 'stop' || reason === 'length'
}

/** From one time to another; 0 where one is not known. */
function seconds(fromMs: number | null | undefined, toMs: number | null | undefined): number {
  return fromMs == null || toMs == null ? 0 : Math.max(0, toMs - fromMs) / 1000
}
