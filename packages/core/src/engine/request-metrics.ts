import type { FinishReason } from '../sequence/outputs.ts'
import { Histogram, type HistogramData, oneTwoFiveBounds } from '../util/histogram.ts'
import { type MeteredRequest, RequestRecord } from './request-record.ts'

// vLLM's buckets, so that its dashboards and alerts fit.
const firstTokenBounds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
]
const perTokenBounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
const requestBounds = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680]
const samplesBounds = [1, 2, 5, 10, 20]

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

export type RequestHistogram = keyof ReturnType<typeof createHistograms>

function createHistograms(maxModelLen: number) {
  const tokens = oneTwoFiveBounds(maxModelLen)
  return {
    /** From a request's arrival at the front, its prompt still a text. */
    timeToFirstToken: new Histogram(firstTokenBounds),
    /** Between steps that brought tokens: with drafts there may be several in one. */
    interTokenLatency: new Histogram(perTokenBounds),
    // Those below cover what ended by itself ('stop', 'length'): an abort is no measure of the engine.
    timePerOutputToken: new Histogram(perTokenBounds),
    endToEnd: new Histogram(requestBounds),
    queueTime: new Histogram(requestBounds),
    inferenceTime: new Histogram(requestBounds),
    prefillTime: new Histogram(requestBounds),
    decodeTime: new Histogram(requestBounds),
    promptTokens: new Histogram(tokens),
    computedPromptTokens: new Histogram(tokens),
    generationTokens: new Histogram(tokens),
    /** What was asked for, or the room in the context. */
    maxTokens: new Histogram(tokens),
    /** Once per request: of its longest sample. */
    maxGenerationTokens: new Histogram(tokens),
    /** Once per request. */
    numSamples: new Histogram(samplesBounds),
  }
}

/** What is counted, while it is. */
export interface RequestTotals {
  promptTokens: number
  cachedPromptTokens: number
  generationTokens: number
  corrupted: number
  readonly finished: Record<FinishReason, number>
  readonly histograms: ReturnType<typeof createHistograms>
}

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
