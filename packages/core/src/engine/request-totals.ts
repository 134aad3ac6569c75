import type { FinishReason } from '../sequence/outputs.ts'
import { Histogram, oneTwoFiveBounds } from '../util/histogram.ts'

// vLLM's buckets, so that its dashboards and alerts fit.
const firstTokenBounds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
]
const perTokenBounds = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80]
const requestBounds = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680]
const samplesBounds = [1, 2, 5, 10, 20]

/** What is counted, while it is. */
export interface RequestTotals {
  promptTokens: number
  cachedPromptTokens: number
  generationTokens: number
  corrupted: number
  readonly finished: Record<FinishReason, number>
  readonly histograms: ReturnType<typeof createHistograms>
}

export function createHistograms(maxModelLen: number) {
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
