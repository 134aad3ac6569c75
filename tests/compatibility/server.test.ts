/**
 * What vLLM's own tests ask of the server itself (tests/entrypoints/serve: instrumentator/test_basic, test_metrics,
 * test_http_status_metrics, middleware/test_optional_middleware, test_authentication_middleware, test_x_request_id,
 * test_cors_middleware; openai/models/test_models), each `it` one of theirs in our words, against octavo-tiny.
 */
import OpenAI, { APIConnectionTimeoutError } from 'openai'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { askAt } from './ask.ts'
import type { Asking } from './ask.ts'

const prompt = [300, 301, 302, 303, 304, 305, 306, 307, 308]

/** Of all labels together, by its whole name. */
function sampleOf(metrics: string, name: string): number {
  const lines = metrics.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  if (lines.length === 0) throw new Error(`no ${name}`)
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

describe('metrics', () => {
  let server: TinyServer
  let asking: Asking
  beforeAll(async () => {
    server = await startTinyServer()
    asking = askAt(server.origin)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const metrics = async () => (await asking.get('/metrics')).text
  const complete = (more: object) => asking.post('/v1/completions', { prompt, ignore_eos: true, ...more })
  const load = async () => {
    const text = await metrics()
    return ['num_requests_running', 'num_requests_waiting', 'kv_cache_usage_perc'].map((name) =>
      sampleOf(text, `vllm:${name}`),
    )
  }

  it('count requests and tokens', async () => {
    const [numRequests, maxTokens] = [10, 10]
    for (let i = 0; i < numRequests; i++)
      expect((await complete({ max_tokens: maxTokens, cache_salt: `${i}` })).status).toBe(200)
    const text = await metrics()
    const expected = {
      time_to_first_token_seconds_count: numRequests,
      inter_token_latency_seconds_count: numRequests * (maxTokens - 1),
      e2e_request_latency_seconds_count: numRequests,
      request_queue_time_seconds_count: numRequests,
      request_inference_time_seconds_count: numRequests,
      request_prefill_time_seconds_count: numRequests,
      request_decode_time_seconds_count: numRequests,
      request_prompt_tokens_sum: numRequests * prompt.length,
      request_prompt_tokens_count: numRequests,
      request_generation_tokens_sum: numRequests * maxTokens,
      request_generation_tokens_count: numRequests,
      request_params_n_count: numRequests,
      request_params_max_tokens_sum: numRequests * maxTokens,
      request_params_max_tokens_count: numRequests,
      prompt_tokens_total: numRequests * prompt.length,
      generation_tokens_total: numRequests * maxTokens,
      request_success_total: numRequests,
    }
    const found = Object.keys(expected).map((name) => [name, sampleOf(text, `vllm:${name}`)])
    expect(Object.fromEntries(found)).toEqual(expected)
  })

  it.each([
    'num_requests_running',
    'num_requests_waiting',
    'num_requests_waiting_by_reason',
    'kv_cache_usage_perc',
    'prefix_cache_queries',
    'prefix_cache_hits',
    'num_preemptions_total',
    'prompt_tokens_total',
    'generation_tokens_total',
    'iteration_tokens_total',
    'cache_config_info',
    'request_success_total',
    ...[
      'request_prompt_tokens',
      'request_generation_tokens',
      'request_params_n',
      'request_params_max_tokens',
      'time_to_first_token_seconds',
      'inter_token_latency_seconds',
      'e2e_request_latency_seconds',
      'request_queue_time_seconds',
      'request_inference_time_seconds',
      'request_prefill_time_seconds',
      'request_decode_time_seconds',
    ].flatMap((name) => [`${name}_sum`, `${name}_bucket`, `${name}_count`]),
  ])('have vllm:%s', async (name) => {
    expect(await metrics()).toContain(`vllm:${name}`)
  })

  it('describe the cache', async () => {
    const line = (await metrics()).split('\n').find((one) => one.startsWith('vllm:cache_config_info{'))!
    expect(line).toMatch(/block_size="\d+"/)
    expect(line).toMatch(/num_gpu_blocks="\d+"/)
  })

  it('go back to zero when requests are given up', async () => {
    expect(await load()).toEqual([0, 0, 0])
    const controller = new AbortController()
    const running = [1, 2, 3].map(() =>
      fetch(`${server.baseURL}/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt, max_tokens: 900, ignore_eos: true, n: 8 }),
        signal: controller.signal,
      }).catch(() => null),
    )
    await vi.waitFor(async () => {
      const [numRunning, , usage] = await load()
      expect(numRunning).toBeGreaterThan(0)
      expect(usage).toBeGreaterThan(0)
    }, 10_000)
    controller.abort()
    await Promise.all(running)
    await vi.waitFor(async () => expect(await load()).toEqual([0, 0, 0]), 10_000)
  })

  it('count answers by their status', async () => {
    const refusals = async () =>
      (await metrics())
        .split('\n')
        .filter((line) => line.startsWith('http_requests_total{') && line.includes('4xx'))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    const before = await refusals()
    expect((await complete({ temperature: 99 })).status).toBe(400)
    expect(await refusals()).toBe(before + 1)
  })

  it('GET /load', async () => {
    const count = async () => (await asking.get<{ server_load: number }>('/load')).body.server_load
    expect(await count()).toBe(0)
    const running = complete({ max_tokens: 300 })
    await vi.waitFor(async () => expect(await count()).toBe(1), 5_000)
    await running
    await vi.waitFor(async () => expect(await count()).toBe(0), 5_000)
  })

  it('a crowd that times out leaves the server free', async () => {
    const impatient = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0, timeout: 300 })
    const body = { model: server.model, prompt, max_tokens: 1000, min_tokens: 1000, temperature: 0 }
    const ends = await Promise.allSettled(Array.from({ length: 100 }, () => impatient.completions.create(body)))
    for (const end of ends) expect(end).toMatchObject({ reason: expect.any(APIConnectionTimeoutError) as unknown })
    const before = performance.now()
    expect((await complete({ max_tokens: 10 })).status).toBe(200)
    expect(performance.now() - before).toBeLessThan(5_000)
  })

  it('another content type is refused', async () => {
    const response = await fetch(`${server.baseURL}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: JSON.stringify({ messages: [{ role: 'user', content: 'a' }] }),
    })
    expect(response.status).toBe(400)
  })

  it.each(['/health', '/ping', '/ready'])('GET %s', async (path) => {
    expect(await asking.get(path)).toMatchObject({ status: 200, text: '' })
  })

  it('GET /version', async () => {
    expect((await asking.get('/version')).body).toEqual({ version: 'test' })
  })

  it('the models, and one of them', async () => {
    const { data } = (await asking.get<{ data: { id: string; max_model_len: number }[] }>('/v1/models')).body
    expect(data).toMatchObject([{ id: server.model, max_model_len: 1024 }])
    expect((await asking.get(`/v1/models/${server.model}`)).body).toEqual(data[0])
    expect((await asking.get('/v1/models/nobody')).status).toBe(404)
  })

  it.each([
    ['DELETE', '/v1/files/file-a', 404],
    ['DELETE', '/v1/responses/resp_a', 404],
    ['POST', '/v1/batches/batch_a/cancel', 404],
    ['POST', '/v1/responses/resp_a/cancel', 404],
    ['POST', '/ping', 200],
    ['POST', '/sleep', 403],
  ])('%s %s without a body, of the type that Python’s client always names', async (method, path, status) => {
    const headers = { 'content-type': 'application/json' }
    expect((await fetch(server.origin + path, { method, headers })).status).toBe(status)
  })

  it('without keys nobody is asked for one', async () => {
    expect((await asking.get('/v1/models')).status).toBe(200)
  })

  it('X-Request-Id: the client’s, or one of our own; one that no header should hold is not repeated', async () => {
    expect((await asking.get('/health', { 'x-request-id': 'Custom' })).headers.get('x-request-id')).toBe('Custom')
    const [one, other] = [await asking.get('/health'), await asking.get('/health')]
    expect(one.headers.get('x-request-id')).toMatch(/^[\w-]{32,}$/)
    expect(one.headers.get('x-request-id')).not.toBe(other.headers.get('x-request-id'))
    expect((await asking.get('/health', { 'x-request-id': 'a b' })).headers.get('x-request-id')).not.toBe('a b')
    const { body } = await asking.post<{ id: string }>(
      '/v1/completions',
      { prompt, max_tokens: 1 },
      { 'x-request-id': 'mine' },
    )
    expect(body.id).toBe('cmpl-mine')
  })
})

describe('keys and origins', () => {
  let server: TinyServer
  let asking: Asking
  beforeAll(async () => {
    server = await startTinyServer({ apiKeys: ['test', 'other'], allowedOrigins: ['https://chat.example'] })
    asking = askAt(server.origin)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it.each([
    ['no key', {}],
    ['a wrong one', { authorization: 'Bearer wrong' }],
    ['another scheme', { authorization: 'Basic test' }],
    ['a beginning of one', { authorization: 'Bearer tes' }],
    ['one with more behind it', { authorization: 'Bearer test2' }],
  ])('%s: 401, for everything that costs', async (_, headers) => {
    expect((await asking.get('/v1/models', headers)).status).toBe(401)
    const paths = [
      '/v1/chat/completions',
      '/v1/completions',
      '/v1/responses',
      '/v1/embeddings',
      '/v1/rerank',
      '/v1/score',
    ]
    const others = [
      '/v1/messages',
      '/v1/messages/count_tokens',
      '/v2/rerank',
      '/rerank',
      '/score',
      '/classify',
      '/pooling',
    ]
    for (const path of [
      ...paths,
      ...others,
      '/tokenize',
      '/detokenize',
      '/v1/completions/render',
      '/v1/chat/completions/render',
    ])
      expect((await asking.post(path, {}, headers)).status, path).toBe(401)
    for (const path of ['/load', '/v1/responses/resp_a', '/v1/responses/resp_a/input_items'])
      expect((await asking.get(path, headers)).status, path).toBe(401)
  })

  it.each(['test', 'other'])('a key of the list: %s', async (key) => {
    expect((await asking.get('/v1/models', { authorization: `Bearer ${key}` })).status).toBe(200)
    expect((await asking.get('/v1/models', { 'x-api-key': key })).status).toBe(200)
    const { status } = await asking.post(
      '/v2/rerank',
      { query: 'a', documents: ['b'] },
      { authorization: `Bearer ${key}` },
    )
    expect(status).not.toBe(401)
  })

  it('what says how the server is needs none', async () => {
    for (const path of ['/health', '/ping', '/version', '/metrics'])
      expect((await asking.get(path)).status, path).toBe(200)
  })

  it('OPTIONS needs none, and only allowed origins are answered', async () => {
    const preflight = (origin: string) =>
      fetch(`${server.baseURL}/chat/completions`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      })
    const allowed = await preflight('https://chat.example')
    expect([allowed.status, allowed.headers.get('access-control-allow-origin')]).toEqual([204, 'https://chat.example'])
    expect((await preflight('https://evil.example')).headers.get('access-control-allow-origin')).toBeNull()
  })

  it('what one key keeps, another does not find', async () => {
    const mine = { authorization: 'Bearer test' }
    const theirs = { authorization: 'Bearer other' }
    const body = { input: 'Hello!', max_output_tokens: 2 }
    const { id } = (await asking.post<{ id: string }>('/v1/responses', body, mine)).body
    expect((await asking.get(`/v1/responses/${id}`, mine)).status).toBe(200)
    for (const path of [`/v1/responses/${id}`, `/v1/responses/${id}/input_items`])
      expect((await asking.get(path, theirs)).status).toBe(404)
    expect((await asking.post(`/v1/responses/${id}/cancel`, {}, theirs)).status).toBe(404)
    expect((await asking.post('/v1/responses', { ...body, previous_response_id: id }, theirs)).status).toBe(404)
    const item = { type: 'item_reference', id: `msg_${id.slice('resp_'.length)}_0` }
    expect((await asking.post('/v1/responses', { input: [item], max_output_tokens: 2 }, theirs)).status).toBe(404)
    const removal = { method: 'DELETE', headers: theirs }
    expect((await fetch(`${server.baseURL}/responses/${id}`, removal)).status).toBe(404)
    expect((await asking.get(`/v1/responses/${id}`, mine)).status).toBe(200)
  })

  it('operators’ endpoints are nobody’s without an admin key', async () => {
    for (const path of ['/sleep', '/wake_up', '/reset_prefix_cache'])
      expect((await asking.post(path, {}, { authorization: 'Bearer test' })).status, path).toBe(403)
  })
})
