import { AsyncEngine, silentLogger } from '@octavo/core'
import type { ChatCompletion, ChatCompletionChunk, Completion, Usage } from '@octavo/sdk/protocol'
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { BasicTracerProvider, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { listen, type RunningServer } from '../listen.ts'
import { readEvents } from '../testing/read-events.ts'
import { ReadMetrics } from '../testing/read-metrics.ts'
import { createJsonLogger } from './json-logger.ts'

const key = 'sk-plantedKey-4711'
const promptWord = 'Xylograph'
const outputWord = 'quintessence'
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'

interface Sent {
  numRequests: number
  numSamples: number
  /** Prompts of which vectors were made. */
  numPooled: number
  promptTokens: number
  completionTokens: number
  cachedTokens: number
}

let engine: AsyncEngine
let server: RunningServer
const spans = new InMemorySpanExporter()
const lines: string[] = []

beforeAll(async () => {
  const write = (line: string): void => void lines.push(line)
  const logger = createJsonLogger({ level: 'debug', stream: { write } })
  const tracer = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }).getTracer('octavo')
  engine = await AsyncEngine.create({ model: 'octavo-tiny', maxNumSeqs: 4 }, { logger: silentLogger })
  server = await listen(createApp({ engine, apiKeys: [key], logger, tracer, drainTimeoutMs: 0 }), { port: 0 })
})
afterAll(async () => {
  await server.close()
  await engine.shutdown()
})

async function post(path: string, body: object, init: RequestInit = {}): Promise<Response> {
  return fetch(`${server.url}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    ...init,
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${key}`,
      traceparent: `00-${traceId}-${parentId}-01`,
      ...init.headers,
    },
  })
}

async function scrape(accept?: string): Promise<ReadMetrics> {
  return new ReadMetrics(await scrapeText(accept))
}

async function scrapeText(accept?: string): Promise<string> {
  const response = await fetch(`${server.url}/metrics`, { headers: accept === undefined ? {} : { accept } })
  expect(response.status).toBe(200)
  return response.text()
}

/** Until what has ended is counted: a client may have read its answer before the server knows. */
async function settled(numHttp: number): Promise<ReadMetrics> {
  for (;;) {
    const metrics = await scrape()
    if (metrics.sum('http_requests_total') >= numHttp && metrics.sum('vllm:num_requests_running') === 0) return metrics
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function add(sent: Sent, usage: Usage, numSamples: number, numPrompts = 1): void {
  sent.numRequests += numPrompts
  sent.numSamples += numSamples
  sent.promptTokens += usage.prompt_tokens
  sent.completionTokens += usage.completion_tokens ?? 0
  sent.cachedTokens += usage.prompt_tokens_details?.cached_tokens ?? 0
}

function chat(i: number): object {
  const content = `Translate ${promptWord} number ${i}: ${'the cat sees the dog. '.repeat(4)}`
  return { messages: [{ role: 'user', content }], max_tokens: 4 + i, seed: i }
}

async function sendChat(sent: Sent, i: number): Promise<void> {
  const answer = (await (await post('/v1/chat/completions', chat(i))).json()) as ChatCompletion
  add(sent, answer.usage!, 1)
}

async function sendStream(sent: Sent, i: number): Promise<void> {
  const body = { ...chat(i), stream: true, stream_options: { include_usage: true }, n: 2 }
  const events = readEvents(await (await post('/v1/chat/completions', body)).text())
  const chunks = events.flatMap((event) => (typeof event === 'object' ? [event as ChatCompletionChunk] : []))
  add(sent, chunks.at(-1)!.usage!, 2)
}

async function sendCompletions(sent: Sent, i: number): Promise<void> {
  const prompt = [0, 1, 2].map((j) => `${promptWord} ${i} ${j}`)
  const answer = (await (
    await post('/v1/completions', { prompt, n: 2, max_tokens: 5, ignore_eos: true, stop: ['zzz'] })
  ).json()) as Completion
  add(sent, answer.usage!, 6, 3)
}

async function sendChoice(sent: Sent): Promise<void> {
  const body = { ...chat(1), max_tokens: 60, structured_outputs: { choice: [outputWord] } }
  const answer = (await (await post('/v1/chat/completions', body)).json()) as ChatCompletion
  expect(answer.choices[0]?.message.content).toBe(outputWord)
  add(sent, answer.usage!, 1)
}

async function sendEmbeddings(sent: Sent, i: number): Promise<void> {
  const response = await post('/v1/embeddings', { input: [`${promptWord} ${i}`, `The dog sees ${i} cats.`] })
  const { data, usage } = (await response.json()) as { data: unknown[]; usage: Usage }
  sent.numPooled += data.length
  sent.promptTokens += usage.prompt_tokens
}

async function sendRefused(): Promise<void> {
  const statuses = await Promise.all([
    post('/v1/chat/completions', { messages: promptWord }),
    post('/v1/chat/completions', { ...chat(1), temperature: -1 }),
    post('/v1/completions', { prompt: `${promptWord} `.repeat(3000), max_tokens: 3 }),
    post('/v1/completions', { prompt: promptWord }, { headers: { authorization: `Bearer ${key}x` } }),
    post(`/v1/${promptWord}`, {}),
    post('/v1/models', {}),
  ])
  expect(statuses.map(({ status }) => status)).toEqual([400, 400, 400, 401, 404, 405])
}

/** @returns what it had been told when it left */
async function sendAborted(): Promise<number> {
  const abort = new AbortController()
  const body = { prompt: promptWord, max_tokens: 900, ignore_eos: true, stream: true, return_token_ids: true }
  const response = await post('/v1/completions', body, { signal: abort.signal })
  const reader = response.body!.getReader()
  let text = ''
  while (!text.includes('"token_ids":[')) text += new TextDecoder().decode((await reader.read()).value)
  abort.abort()
  return 1
}

describe('a known load', () => {
  const sent: Sent = {
    numRequests: 0,
    numSamples: 0,
    numPooled: 0,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: 0,
  }
  let metrics: ReadMetrics
  const count = (name: string): number => metrics.sum(`vllm:${name}_count`)

  beforeAll(async () => {
    const scraping = new AbortController()
    const scrapes = (async () => {
      while (!scraping.signal.aborted) await scrape(Math.random() < 0.5 ? 'application/openmetrics-text' : undefined)
    })()
    await Promise.all([
      ...Array.from({ length: 12 }, (_, i) => sendChat(sent, i)),
      ...Array.from({ length: 8 }, (_, i) => sendStream(sent, i)),
      ...Array.from({ length: 4 }, (_, i) => sendCompletions(sent, i)),
      ...Array.from({ length: 3 }, (_, i) => sendEmbeddings(sent, i)),
      sendChoice(sent),
      sendRefused(),
    ])
    scraping.abort()
    await scrapes
    metrics = await settled(34)
  })

  it('adds up to what the answers said: tokens', () => {
    expect(metrics.sum('vllm:prompt_tokens_total')).toBe(sent.promptTokens)
    expect(metrics.sum('vllm:generation_tokens_total')).toBe(sent.completionTokens)
    expect(metrics.sum('vllm:prompt_tokens_cached_total')).toBe(sent.cachedTokens)
    expect(sent.cachedTokens).toBeGreaterThan(0)
    expect(metrics.sum('vllm:prompt_tokens_by_source_total')).toBe(sent.promptTokens)
    expect(metrics.sum('vllm:request_generation_tokens_sum')).toBe(sent.completionTokens)
  })

  it('adds up to what was sent: requests, samples and their ends', () => {
    expect(sent).toMatchObject({ numRequests: 33, numSamples: 53, numPooled: 6 })
    const numEnded = sent.numSamples + sent.numPooled
    expect(metrics.sum('vllm:request_success_total')).toBe(numEnded)
    expect(metrics.sum('vllm:request_success_total', { finished_reason: 'abort' })).toBe(0)
    expect(metrics.sum('vllm:request_success_total', { finished_reason: 'error' })).toBe(0)
    for (const name of [
      'time_to_first_token_seconds',
      'request_decode_time_seconds',
      'request_time_per_output_token_seconds',
      'request_generation_tokens',
      'request_params_max_tokens',
    ]) {
      expect([name, count(name)]).toEqual([name, sent.numSamples])
    }
    for (const name of [
      'e2e_request_latency_seconds',
      'request_queue_time_seconds',
      'request_inference_time_seconds',
      'request_prefill_time_seconds',
      'request_prompt_tokens',
      'request_prefill_kv_computed_tokens',
    ]) {
      expect([name, count(name)]).toEqual([name, numEnded])
    }
    expect(count('request_params_n')).toBe(sent.numRequests)
    expect(metrics.sum('vllm:request_params_n_sum')).toBe(sent.numSamples)
    expect(count('request_max_num_generation_tokens')).toBe(sent.numRequests)
    expect(count('inter_token_latency_seconds')).toBe(sent.completionTokens - sent.numSamples)
  })

  it('has times that fit into each other', () => {
    const sum = (name: string): number => metrics.sum(`vllm:${name}_seconds_sum`)
    expect(sum('request_prefill_time') + sum('request_decode_time')).toBeCloseTo(sum('request_inference_time'), 6)
    expect(sum('inter_token_latency')).toBeCloseTo(sum('request_decode_time'), 6)
    expect(sum('request_queue_time')).toBeGreaterThan(0)
    expect(sum('e2e_request_latency')).toBeGreaterThan(sum('request_queue_time') + sum('request_inference_time'))
  })

  it('has buckets that end with all', () => {
    const buckets = metrics.series.filter((series) => series.includes('le="+Inf"'))
    expect(buckets.length).toBeGreaterThan(15)
    for (const series of buckets) {
      const name = series.split('_bucket{')[0]!
      const handler = /handler="[^"]*"/.exec(series)?.[0].split('"')[1]
      const labels: Record<string, string> = handler === undefined ? {} : { handler }
      expect(metrics.sum(`${name}_bucket`, { le: '+Inf', ...labels })).toBe(metrics.sum(`${name}_count`, labels))
    }
  })

  it('is counted as HTTP, by route', () => {
    const answered = (handler: string, status: string): number =>
      metrics.sum('http_requests_total', { handler, status })
    expect(answered('/v1/chat/completions', '2xx')).toBe(21)
    expect(answered('/v1/chat/completions', '4xx')).toBe(2)
    expect(answered('/v1/completions', '2xx')).toBe(4)
    expect(answered('/v1/completions', '4xx')).toBe(2)
    expect(answered('/v1/embeddings', '2xx')).toBe(3)
    expect(answered('none', '4xx')).toBe(1)
    expect(answered('/v1/models', '4xx')).toBe(1)
    expect(metrics.sum('http_requests_total')).toBe(34)
    expect(metrics.sum('http_request_duration_seconds_count')).toBe(34)
  })

  it('is idle afterwards, and its engine described', () => {
    for (const name of ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc', 'gpu_cache_usage_perc'])
      expect([name, metrics.sum(`vllm:${name}`)]).toEqual([name, 0])
    const { numBlocks, blockSize } = engine.info
    const labels = { block_size: String(blockSize), num_gpu_blocks: String(numBlocks), enable_prefix_caching: 'True' }
    expect(metrics.sum('vllm:cache_config_info', labels)).toBe(1)
    expect(metrics.sum('vllm:prefix_cache_hits_total')).toBe(metrics.sum('vllm:gpu_prefix_cache_hits_total'))
    expect(metrics.sum('vllm:iteration_tokens_total_sum')).toBeGreaterThan(sent.completionTokens)
    const own = metrics.series.filter((series) => series.startsWith('vllm:'))
    for (const series of own) expect(series).toMatch(/engine="0".*model_name="octavo-tiny"/)
  })

  it('has a span for each request to a model, below the caller’s', () => {
    const finished = spans.getFinishedSpans()
    expect(finished.length).toBe(32)
    for (const span of finished) {
      expect([span.name, span.kind]).toEqual(['llm_request', 1])
      expect(span.spanContext().traceId).toBe(traceId)
      expect(span.parentSpanContext?.spanId).toBe(parentId)
    }
    const sum = (name: string): number =>
      finished.reduce((total, { attributes }) => total + Number(attributes[name] ?? 0), 0)
    expect(sum('gen_ai.usage.prompt_tokens')).toBe(sent.promptTokens)
    expect(sum('gen_ai.usage.completion_tokens')).toBe(sent.completionTokens)
    expect(sum('gen_ai.usage.num_sequences')).toBe(sent.numSamples + sent.numPooled)
    expect(statuses(finished)).toEqual({ 200: 28, 400: 3, 401: 1 })
    const one = finished.find(({ attributes }) => attributes['gen_ai.usage.num_sequences'] === 1)!
    const pooled = finished.find(({ attributes }) => attributes['gen_ai.operation.name'] === 'embeddings')!
    expect(pooled.attributes).toMatchObject({
      'gen_ai.usage.completion_tokens': 0,
      'gen_ai.response.finish_reasons': ['stop', 'stop'],
    })
    expect(one.attributes).toEqual({
      'gen_ai.operation.name': expect.stringMatching(/^chat$|^text_completion$/),
      'gen_ai.request.id': expect.stringMatching(/^[\da-f-]{36}$/),
      'gen_ai.request.model': 'octavo-tiny',
      'gen_ai.response.model': 'octavo-tiny',
      'gen_ai.request.max_tokens': expect.any(Number),
      'gen_ai.request.n': 1,
      'gen_ai.request.temperature': expect.any(Number),
      'gen_ai.request.top_p': expect.any(Number),
      'gen_ai.response.finish_reasons': [expect.stringMatching(/^stop$|^length$/)],
      'gen_ai.usage.prompt_tokens': expect.any(Number),
      'gen_ai.usage.cached_tokens': expect.any(Number),
      'gen_ai.usage.completion_tokens': expect.any(Number),
      'gen_ai.usage.num_sequences': 1,
      'gen_ai.latency.e2e': expect.any(Number),
      'gen_ai.latency.time_to_first_token': expect.any(Number),
      'gen_ai.latency.time_in_queue': expect.any(Number),
      'gen_ai.latency.time_in_model_prefill': expect.any(Number),
      'gen_ai.latency.time_in_model_decode': expect.any(Number),
      'gen_ai.latency.time_in_model_inference': expect.any(Number),
      'http.request.method': 'POST',
      'http.response.status_code': 200,
      'http.route': expect.stringMatching(/completions$/),
    })
  })

  it('counts who leaves, and what it had been told', async () => {
    const before = metrics
    const leavers = await Promise.all([sendAborted(), sendAborted(), sendAborted()])
    const after = await settled(37)
    const more = (name: string, labels = {}): number => after.sum(name, labels) - before.sum(name, labels)
    expect(more('vllm:request_success_total', { finished_reason: 'abort' })).toBe(leavers.length)
    expect(more('vllm:request_success_total')).toBe(leavers.length)
    expect(more('vllm:generation_tokens_total')).toBeGreaterThanOrEqual(leavers.length)
    expect(more('vllm:time_to_first_token_seconds_count')).toBe(leavers.length)
    expect(more('vllm:e2e_request_latency_seconds_count')).toBe(0)
    expect(more('http_requests_total', { status: '499' })).toBe(leavers.length)
    expect(after.sum('vllm:kv_cache_usage_perc')).toBe(0)
    const tokens =
      after.sum('vllm:time_to_first_token_seconds_count') + after.sum('vllm:inter_token_latency_seconds_count')
    expect(tokens).toBe(after.sum('vllm:generation_tokens_total'))
  })

  it('leaves a line for each request, with its trace', () => {
    const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    const requests = entries.filter(({ msg, route }) => msg === 'request' && route !== '/metrics')
    expect(requests.length).toBe(37)
    expect(requests.filter(({ status }) => status === 200).length).toBe(28)
    expect(requests.filter(({ status }) => status === 499).length).toBe(3)
    const left = requests.filter(({ status }) => status === 499)
    for (const line of left) expect(line).toMatchObject({ finishReason: 'abort', completionTokens: expect.any(Number) })
    const whole = requests.find(({ finishReason }) => finishReason === 'length')!
    expect(whole).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      msg: 'request',
      requestId: expect.stringMatching(/^[\da-f-]{36}$/),
      method: 'POST',
      route: expect.stringMatching(/^\/v1\/(chat\/)?completions$/),
      status: 200,
      ms: expect.any(Number),
      model: 'octavo-tiny',
      promptTokens: expect.any(Number),
      cachedTokens: expect.any(Number),
      completionTokens: expect.any(Number),
      finishReason: 'length',
      traceId,
    })
  })

  it('leaves nothing of what was said, or of keys', async () => {
    const told = [
      lines.join(''),
      await scrapeText(),
      await scrapeText('application/openmetrics-text'),
      JSON.stringify(
        spans.getFinishedSpans().map(({ name, attributes, events, status }) => ({ name, attributes, events, status })),
      ),
    ]
    for (const text of told) {
      expect(text.length).toBeGreaterThan(1000)
      for (const word of [promptWord, outputWord, key, 'plantedKey']) expect(text).not.toContain(word)
    }
  })
})

function statuses(finished: readonly ReadableSpan[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { attributes } of finished) {
    const status = String(attributes['http.response.status_code'])
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}
