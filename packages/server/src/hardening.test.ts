import { connect } from 'node:net'
import { InvalidConfigError, TurnQueue } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { afterEach, describe, expect, it } from 'vitest'
import type { AppOptions } from './app.ts'
import { createApp } from './app.ts'
import { parseJsonBody } from './json-body.ts'
import type { RunningServer } from './listen.ts'
import { listen } from './listen.ts'
import { openaiDialect } from './openai/dialect.ts'
import { FakeEngine } from './testing/fake-engine.ts'
import { explainUnknownPath } from './unknown-path.ts'

const parse = (body: string) => parseJsonBody(Buffer.from(body), new TurnQueue())

const servers: RunningServer[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close()
})

async function serve(options: Partial<AppOptions> = {}): Promise<RunningServer> {
  const server = await listen(createApp({ engine: new FakeEngine(), drainTimeoutMs: 0, ...options }), { port: 0 })
  servers.push(server)
  return server
}

/** The status of GET /v1/models as asked with this Host header. */
function statusFor({ port }: RunningServer, host: string, more = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('data', (data) => {
      socket.destroy()
      resolve(Number(String(data).split(' ')[1]))
    })
    socket.write(`GET /v1/models HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`)
  })
}

describe('the Host header of a loopback server without keys', () => {
  it.each(['localhost', 'localhost:8000', 'LOCALHOST.', '127.0.0.1:80', '127.9.9.9', '[::1]:8000', 'a.localhost'])(
    'may be %s',
    async (host) => {
      expect(await statusFor(await serve(), host)).toBe(200)
    },
  )

  it.each(['evil.example', 'evil.example:8000', '127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.1'])(
    'may not be %s',
    async (host) => {
      expect(await statusFor(await serve(), host)).toBe(403)
    },
  )

  it('may be what the operator allows, and is not looked at where a key is asked for', async () => {
    expect(await statusFor(await serve({ allowedHosts: ['Box.example'] }), 'box.example:1')).toBe(200)
    const keyed = await serve({ apiKeys: ['key'] })
    expect(await statusFor(keyed, 'evil.example', 'Authorization: Bearer key\r\n')).toBe(200)
  })
})

describe('API keys at the start', () => {
  it.each([' key', 'key ', 'schlüssel', 'a\nb', '\tkey', ' ', 'ключ'])('refuses %j', (key) => {
    expect(() => createApp({ engine: new FakeEngine(), apiKeys: ['good', key] })).toThrow(InvalidConfigError)
  })

  it('takes printable ASCII, and does not quote what it refuses', async () => {
    const app = createApp({ engine: new FakeEngine(), apiKeys: ['a b', 'sk-~!'] })
    for (const key of ['a b', 'sk-~!']) {
      const response = await app.inject({ url: '/v1/models', headers: { authorization: `Bearer ${key}` } })
      expect(response.statusCode).toBe(200)
    }
    const refuse = () => createApp({ engine: new FakeEngine(), apiKeys: ['sécret'] })
    expect(refuse).toThrow(/key 1 has a character beyond printable ASCII/)
    expect(refuse).not.toThrow(/cret/)
  })

  it('excludes a function of the program', () => {
    const authenticate = () => null
    expect(() => createApp({ engine: new FakeEngine(), apiKeys: ['a'], authenticate })).toThrow(
      /authenticate.*excludes/,
    )
  })
})

describe('paths and methods', () => {
  const app = createApp({ engine: new FakeEngine() })

  it.each([
    ['/health/', 200],
    ['/version/', 200],
    ['/v1/models/', 200],
    ['/v1/models/fake/', 200],
  ])('serves %s', async (url, status) => {
    expect((await app.inject(url)).statusCode).toBe(status)
  })

  it('serves POST routes with a slash at the end', async () => {
    const payload = { prompt: 'a', max_tokens: 1 }
    expect((await app.inject({ method: 'POST', url: '/v1/completions/', payload })).statusCode).toBe(200)
  })

  it.each([
    ['/chat/completions', 'POST', '/v1/chat/completions'],
    ['/v1/v1/chat/completions', 'POST', '/v1/chat/completions'],
    ['/v1/chat/completion', 'POST', '/v1/chat/completions'],
    ['/models', 'GET', '/v1/models'],
    ['/healthz', 'GET', '/health'],
  ])('names what is nearest to %s', async (url, method, nearest) => {
    const response = await app.inject({ method: 'POST', url: `${url}?secret=1`, payload: {} })
    expect(response.statusCode).toBe(404)
    expect(response.json().error.message).toBe(
      `There is no POST "${url}" here; the nearest endpoint is ${method} ${nearest}.`,
    )
  })

  it.each(['HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const)(
    'answers 405 to %s of a POST',
    async (method) => {
      for (const url of ['/v1/chat/completions', '/v1/completions/']) {
        const response = await app.inject({ method: method as 'HEAD', url })
        expect([response.statusCode, response.headers['allow']]).toEqual([405, 'POST'])
      }
    },
  )

  it('answers 405 to a method that it never heard of', () => {
    const known = [{ methods: ['POST'] as const, url: '/v1/completions', dialect: openaiDialect, description: {} }]
    expect(explainUnknownPath('PROPFIND', '/v1/completions?x', known)).toMatchObject({ status: 405 })
  })
})

describe('bodies', () => {
  const app = createApp({ engine: new FakeEngine() })

  it.each(['gzip', 'br', 'x-unknown'])('answers 415 to %s', async (encoding) => {
    const headers = { 'content-type': 'application/json', 'content-encoding': encoding }
    const response = await app.inject({ method: 'POST', url: '/v1/completions', headers, payload: '{}' })
    expect(response.statusCode).toBe(415)
    expect(response.json().error).toMatchObject({ code: 415, message: expect.stringContaining(encoding) })
  })

  it('takes identity', async () => {
    const headers = { 'content-encoding': 'identity' }
    const payload = { prompt: 'a', max_tokens: 1 }
    expect((await app.inject({ method: 'POST', url: '/v1/completions', headers, payload })).statusCode).toBe(200)
  })

  it.each([
    '{"a":{"__proto__":1}}',
    '{"a":[[{"\\u005f\\u005fproto__":{}}]]}',
    '{"__pr\\u006fto__":1}',
    '{"messages":[{"__proto__":{"role":"user"}}]}',
  ])('refuses keys that reach for prototypes: %s', async (body) => {
    await expect(parse(body)).rejects.toThrow(/__proto__/)
  })

  it('takes the word as a value', async () => {
    expect(await parse('{"a":"__proto__ \\u0061"}')).toEqual({ a: '__proto__ a' })
  })
})

describe('seeds of 64 bits', () => {
  it.each([
    ['{"seed":9007199254740993}', 9007199254740993n],
    ['{"x":{"seed":1},"seed": -9223372036854775808 }', -(2n ** 63n)],
    ['{"y":"\\"seed\\":1111111111111111","seed":9223372036854775807,"z":[1]}', 2n ** 63n - 1n],
    ['{"seed":1,"seed":9007199254740995}', 9007199254740995n],
    ['{"seed":12,"x":{"seed":9007199254740993}}', 12],
  ])('are read from %s', async (body, seed) => {
    expect(await parse(body)).toMatchObject({ seed })
  })

  it('reach the engine, and beyond 64 bits are refused', async () => {
    const engine = new FakeEngine()
    const app = createApp({ engine })
    const ask = (seed: string) =>
      app.inject({
        method: 'POST',
        url: '/v1/completions',
        headers: { 'content-type': 'application/json' },
        payload: `{"prompt":"a","max_tokens":1,"seed":${seed}}`,
      })
    expect((await ask('9007199254740993')).statusCode).toBe(200)
    expect(engine.seen[0]?.request.params.seed).toBe(9007199254740993n)
    for (const seed of ['9223372036854775808', '1e30', '0.5', '"1"']) {
      const response = await ask(seed)
      expect([seed, response.statusCode, response.json().error.param]).toEqual([seed, 400, 'seed'])
    }
  })
})

describe('fields', () => {
  const app = createApp({ engine: new FakeEngine() })
  const ask = (url: string, body: object) => app.inject({ method: 'POST', url, payload: { max_tokens: 1, ...body } })
  const messages = [{ role: 'user', content: 'a' }]

  it('may say what is so anyway', async () => {
    const neutral = {
      n: 1,
      stop: [],
      stop_token_ids: [],
      bad_words: [],
      logit_bias: {},
      best_of: 1,
      length_penalty: 1,
      use_beam_search: false,
      vllm_xargs: {},
      kv_transfer_params: {},
      structured_outputs: null,
      stream_options: { include_usage: false },
      response_format: { type: 'text' },
    }
    const chatOnly = {
      top_logprobs: 0,
      tool_choice: 'none',
      parallel_tool_calls: true,
      functions: [],
      function_call: 'none',
      mm_processor_kwargs: {},
      media_io_kwargs: {},
      modalities: ['text'],
      include_reasoning: true,
    }
    expect((await ask('/v1/chat/completions', { messages, ...neutral, ...chatOnly })).json()).not.toHaveProperty(
      'error',
    )
    expect((await ask('/v1/chat/completions', { messages, parallel_tool_calls: false })).statusCode).toBe(200)
    const text = await ask('/v1/completions', { prompt: 'a', ...neutral, suffix: '', prompt_embeds: null })
    expect(text.json()).not.toHaveProperty('error')
  })

  it('that change the meaning are refused by name', async () => {
    const embeds = await ask('/v1/completions', { prompt: 'a', prompt_embeds: 'AAAA' })
    expect(embeds.json().error).toMatchObject({ param: 'prompt_embeds', code: 400 })
    expect((await ask('/v1/completions', { prompt_embeds: 'AAAA' })).json().error.param).toBe('prompt_embeds')
  })

  it('are named as the endpoint names them', async () => {
    const long = await ask('/v1/chat/completions', { messages, max_tokens: 256 })
    expect(long.json().error.message).toMatch(/1 tokens and max_tokens is 256.*context is 256.*at most 255/)
    const renamed = await ask('/v1/chat/completions', { messages, max_tokens: undefined, max_completion_tokens: 256 })
    expect(renamed.json().error.message).toMatch(/max_completion_tokens is 256/)
    expect(renamed.json().error.code).toBe('context_length_exceeded')
    const text = await ask('/v1/completions', { prompt: 'a', logprobs: 21 })
    expect(text.json().error).toMatchObject({ param: 'logprobs', message: expect.stringMatching(/^logprobs asks/) })
    const chat = await ask('/v1/chat/completions', { messages, logprobs: true, top_logprobs: 21 })
    expect(chat.json().error).toMatchObject({
      param: 'top_logprobs',
      message: expect.stringMatching(/^top_logprobs asks/),
    })
    const both = await ask('/v1/completions', { prompt: 'a', n: 2, temperature: 0 })
    expect(both.json().error).toMatchObject({ param: 'n', message: expect.stringMatching(/with temperature 0/) })
  })

  it('keep the default of 16 tokens from being a wish that must fit', async () => {
    const prompt = 'a '.repeat(250)
    expect((await ask('/v1/completions', { prompt, max_tokens: undefined })).statusCode).toBe(200)
    expect((await ask('/v1/completions', { prompt, max_tokens: 16 })).statusCode).toBe(400)
  })
})

describe('log lines', () => {
  it('have the time and the path, without the query', async () => {
    const lines: string[] = []
    const push = (line: string): void => void lines.push(line)
    const logger: Logger = { debug: push, info: push, warn: push, error: push }
    const app = createApp({ engine: new FakeEngine(), logger })
    await app.inject({ url: '/v1/models/fake?key=secret', headers: { 'x-request-id': 'r' } })
    await app.inject('/nothing')
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z GET \/v1\/models\/fake 200 \d+ ms \(r\)$/)
    expect(lines[1]).toContain(' GET /nothing 404 ')
  })
})
