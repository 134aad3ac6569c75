import { describe, expect, it } from 'vitest'
import { InvalidLogitsError } from '../errors.ts'
import { defaultSamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import { type RequestHistogram, RequestMeter } from './request-metrics.ts'
import type { MeteredRequest, RequestStats } from './request-record.ts'

/** A meter whose clock says what the test says, and requests that came at 1000. */
function setup() {
  let nowMs = 1000
  const meter = new RequestMeter(64, () => nowMs)
  const ended: RequestStats[] = []
  const start = (options: Partial<MeteredRequest> = {}) =>
    meter.start({
      arrivedMs: meter.now(),
      numPromptTokens: 10,
      numSamples: 1,
      params: { ...defaultSamplingParams, maxTokens: 7 },
      onEnd: (stats) => ended.push(stats),
      ...options,
    })
  const sums = (...names: RequestHistogram[]): number[] =>
    names.map((name) => Number(meter.metrics().histograms[name].sum.toFixed(6)))
  const counts = (...names: RequestHistogram[]): number[] =>
    names.map((name) => meter.metrics().histograms[name].counts.reduce((a, b) => a + b, 0))
  return { meter, start, ended, sums, counts, at: (ms: number) => (nowMs = ms) }
}

function update(lastTokenMs: number, firstTokenMs = lastTokenMs): SequenceUpdate {
  return {
    id: 'a',
    newTokenIds: [1],
    logprobs: null,
    promptLogprobs: null,
    finishReason: null,
    stopReason: null,
    error: null,
    numCachedTokens: 4,
    times: { queuedMs: 50, scheduledMs: 80, firstTokenMs, lastTokenMs },
  }
}

describe('a request that ends by itself', () => {
  it('has times of both clocks', () => {
    const { meter, start, ended, sums, at } = setup()
    const record = start()
    at(1500)
    record.receive(0, update(100), { numTokens: 1, finishReason: null })
    at(2000)
    record.receive(0, update(180, 100), { numTokens: 2, finishReason: null })
    record.receive(0, update(300, 100), { numTokens: 5, finishReason: 'length' })
    record.end(null)
    record.end(null)
    expect(sums('timeToFirstToken', 'endToEnd')).toEqual([0.5, 1])
    expect(sums('queueTime', 'prefillTime', 'decodeTime', 'inferenceTime')).toEqual([0.03, 0.02, 0.2, 0.22])
    expect(sums('interTokenLatency', 'timePerOutputToken')).toEqual([0.2, 0.05])
    expect(sums('promptTokens', 'computedPromptTokens', 'generationTokens', 'maxTokens')).toEqual([10, 6, 5, 7])
    expect(sums('numSamples', 'maxGenerationTokens')).toEqual([1, 5])
    const finished = { stop: 0, length: 1, abort: 0, error: 0 }
    const counted = { promptTokens: 10, cachedPromptTokens: 4, generationTokens: 5, corrupted: 0, finished }
    expect(meter.metrics()).toMatchObject(counted)
    expect(ended).toEqual([
      {
        numPromptTokens: 10,
        numCachedTokens: 4,
        numGenerationTokens: 5,
        finishReasons: ['length'],
        params: { ...defaultSamplingParams, maxTokens: 7 },
        arrivedMs: 1000,
        firstTokenMs: 1500,
        endedMs: 2000,
        times: { queuedMs: 50, scheduledMs: 80, firstTokenMs: 100, lastTokenMs: 300 },
      },
    ])
  })

  it('counts drafts of one step as one interval, and what follows its end as nothing', () => {
    const { meter, start, counts } = setup()
    const record = start()
    record.receive(0, update(100), { numTokens: 3, finishReason: null })
    record.receive(0, update(120), { numTokens: 6, finishReason: 'stop' })
    record.receive(0, update(140), { numTokens: 9, finishReason: null })
    expect(counts('timeToFirstToken', 'interTokenLatency', 'endToEnd')).toEqual([1, 1, 1])
    expect(meter.metrics().generationTokens).toBe(6)
  })

  it('counts its prompt once, its samples each, and n with the last', () => {
    const { meter, start, counts, sums } = setup()
    const record = start({ numSamples: 2, params: { ...defaultSamplingParams, maxTokens: null } })
    record.receive(0, update(100), { numTokens: 1, finishReason: 'stop' })
    record.receive(1, update(100), { numTokens: 1, finishReason: null })
    record.receive(1, update(110, 100), { numTokens: 2, finishReason: 'stop' })
    record.end(null)
    expect(meter.metrics()).toMatchObject({ promptTokens: 10, generationTokens: 3, finished: { stop: 2 } })
    expect(counts('endToEnd', 'timeToFirstToken', 'numSamples', 'maxGenerationTokens')).toEqual([2, 2, 1, 1])
    expect(sums('numSamples', 'maxGenerationTokens', 'maxTokens')).toEqual([2, 2, 2 * 54])
  })

  it('that only pools has no tokens, and counts as one', () => {
    const { meter, start, ended, counts } = setup()
    const record = start({ params: null })
    record.receive(0, update(100), { numTokens: 0, finishReason: 'stop' })
    record.end(null)
    expect(meter.metrics()).toMatchObject({ promptTokens: 10, cachedPromptTokens: 4, generationTokens: 0 })
    expect(counts('endToEnd', 'queueTime', 'promptTokens', 'inferenceTime')).toEqual([1, 1, 1, 1])
    expect(counts('timeToFirstToken', 'decodeTime', 'generationTokens', 'numSamples', 'maxTokens')).toEqual([
      0, 0, 0, 0, 0,
    ])
    expect(ended).toMatchObject([{ finishReasons: ['stop'], numGenerationTokens: 0, params: null }])
  })
})

describe('a request that is cut off', () => {
  it('counts as aborted, with the tokens it got, and is no measure of time', () => {
    const { meter, start, ended, counts } = setup()
    const record = start({ numSamples: 2 })
    record.receive(1, update(100), { numTokens: 1, finishReason: 'stop' })
    record.end(null)
    start().end(null)
    expect(meter.metrics()).toMatchObject({ generationTokens: 1, finished: { stop: 1, abort: 2 } })
    expect(counts('endToEnd', 'numSamples')).toEqual([1, 0])
    expect(ended).toMatchObject([
      { finishReasons: ['abort', 'stop'] },
      { finishReasons: ['abort'], firstTokenMs: null, times: null, numCachedTokens: 0 },
    ])
  })

  it('by a failure counts as that; logits that are no numbers also apart', () => {
    const { meter, start, counts } = setup()
    start().end(new Error('x'))
    start().end(new InvalidLogitsError('NaN'))
    expect(meter.metrics()).toMatchObject({ corrupted: 1, finished: { error: 2 } })
    expect(counts('endToEnd')).toEqual([0])
  })
})

it('has buckets up to the context', () => {
  const { promptTokens, endToEnd } = setup().meter.metrics().histograms
  expect(promptTokens.bounds).toEqual([1, 2, 5, 10, 20, 50])
  expect(endToEnd.counts.length).toBe(endToEnd.bounds.length + 1)
})
