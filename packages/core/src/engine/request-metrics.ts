import type { FinishReason } from '../sequence/outputs.ts'
import type { HistogramData } from '../util/histogram.ts'
import { type MeteredRequest, RequestRecord } from './request-record.ts'
import { createHistograms, type RequestTotals } from './request-totals.ts'

/**
 * Counted from the start, for every sample as vLLM does, unless it says "request": seconds, and tokens. What only pools
 * counts as a request of one sample that stops without a token.
 */
export interface RequestMetrics {
  /** Of requests whose first token is out, once each. */
  readonly promptTokens: number
  readonly cachedPromptTokens: number
  readonly generationTokens: number
  /** Samples that failed by logits that are not numbers. */
  readonly corrupted: number
  readonly finished: Readonly<Record<FinishReason, number>>
  readonly histograms: Readonly<Record<RequestHistogram, HistogramData>>
}

export type RequestHistogram = keyof RequestTotals['histograms']

/** Counts an engine's requests, from what its thread tells of them and from the front's clock. */
export class RequestMeter {
  readonly #maxModelLen: number
  readonly #clock: () => number
  readonly #totals: RequestTotals

  /** @param clock milliseconds since 1970 that never run backwards */
  constructor(maxModelLen: number, clock: () => number = () => performance.timeOrigin + performance.now()) {
    this.#maxModelLen = maxModelLen
    this.#clock = clock
    this.#totals = {
      promptTokens: 0,
      cachedPromptTokens: 0,
      generationTokens: 0,
      corrupted: 0,
      finished: { stop: 0, length: 0, abort: 0, error: 0 },
      histograms: createHistograms(maxModelLen),
    }
  }

  now(): number {
    return this.#clock()
  }

  start(request: MeteredRequest): RequestRecord {
    return new RequestRecord(request, { totals: this.#totals, clock: this.#clock, maxModelLen: this.#maxModelLen })
  }

  metrics(): RequestMetrics {
    const { histograms, finished, ...counts } = this.#totals
    const entries = Object.entries(histograms).map(([name, histogram]) => [name, histogram.data()] as const)
    return {
      ...counts,
      finished: { ...finished },
      histograms: Object.fromEntries(entries) as Record<RequestHistogram, HistogramData>,
    }
  }
}
