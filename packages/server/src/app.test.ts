import { describe, expect, it } from 'vitest'
import { EngineOverloadedError, InvalidConfigError } from '@octavo/core'
import type { Logger } from '@octavo/core'
import { createApp } from './app.ts'
import { FakeEngine } from './testing/fake-engine.ts'

const chat = { messages: [{ role: 'user', content: 'one two three' }], max_tokens: 2 }

function post(app: ReturnType<typeof createApp>, url: string, payload: unknown, headers: Record<string, string> = {}) {
  return app.inject({
    method: 'POST',
    url,
    headers: { 'content-type': 'application/json', ...headers },
    payload: typeof payload === 'string' || Buffer.isBuffer(payload) ? payload : JSON.stringify(payload),
  })
}

describe('health, version, models', () => {
  it('says 200 with an empty body while the engine lives, 503 when it is dead', async () => {
    const engine = new FakeEngine()
    const app = createApp({ engine, version: '1.2.3' })
    for (const [method, url] of [
      ['GET', '/health'],
      ['GET', '/ping'],
      ['POST', '/ping'],
    ] as const) {
      const response = await app.inject({ method, url })
      expect([url, response.statusCode, response.body]).toEqual([url, 200, ''])
    }
    engine.isDead = true
    const response = await app.inject('/health')
    expect(response.statusCode).toBe(503)
    expect(response.json()).toMatchObject({ error: { type: 'ServiceUnavailableError', code: 503, param: null } })
  })

  it('tells its version', async () => {
    const response = await createApp({ engine: new FakeEngine(), version: '1.2.3' }).inject('/version')
    expect(response.json()).toEqual({ version: '1.2.3' })
  })

  it('lists models and finds one by name, also one with a slash, encoded or not', async () => {
    const app = createApp({ engine: new FakeEngine({ models: ['org/model', 'alias'] }), version: '0' })
    const list = (await app.inject('/v1/models')).json()
    expect(list).toMatchObject({
      object: 'list',
      data: [{ id: 'org/model', object: 'model', max_model_len: 256 }, { id: 'alias' }],
    })
    expect((await app.inject('/v1/models/org/model')).json()).toEqual(list.data[0])
    expect((await app.inject('/v1/models/org%2Fmodel')).json()).toEqual(list.data[0])
    const missing = await app.inject('/v1/models/other')
    expect(missing.statusCode).toBe(404)
    expect(missing.json().error).toEqual({
      message: 'The model "other" does not exist; this server has: "org/model", "alias".',
      type: 'NotFoundError',
      param: 'model',
      code: 404,
    })
  })
})

describe('bad requests', () => {
  const cases: [title: string, url: string, payload: unknown, param: string | null, message: RegExp][] = [
    ['broken JSON', '/v1/chat/completions', '{"messages": [', null, /not valid JSON/],
    ['an empty body', '/v1/chat/completions', '', null, /empty/],
    [
      'invalid UTF-8',
      '/v1/chat/completions',
      Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
      null,
      /not valid UTF-8/,
    ],
    ['an array for a body', '/v1/chat/completions', [], null, /expected object, received array/],
    ['null for a body', '/v1/completions', 'null', null, /expected object, received null/],
    ['a prototype key', '/v1/chat/completions', '{"messages":[],"__proto__":{"x":1}}', null, /__proto__/],
    [
      'a hidden prototype key',
      '/v1/chat/completions',
      '{"chat_template_kwargs":{"\\u005f_proto__":{"x":1}}}',
      null,
      /__proto__/,
    ],
    ['no messages', '/v1/chat/completions', { messages: [] }, 'messages', /at least 1/],
    ['missing messages', '/v1/chat/completions', {}, 'messages', /expected array, received undefined/],
    [
      'a user without content',
      '/v1/chat/completions',
      { messages: [{ role: 'user' }] },
      'messages.0.content',
      /required/,
    ],
    [
      'a number for content',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 3 }] },
      'messages.0.content',
      /expected string or array, received number/,
    ],
    [
      'an image',
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages.0.content.0',
      /"image_url" are not supported: this server takes text only/,
    ],
    [
      'a string for a number',
      '/v1/chat/completions',
      { ...chat, temperature: '1' },
      'temperature',
      /expected number, received string/,
    ],
    ['a negative number', '/v1/chat/completions', { ...chat, temperature: -1 }, 'temperature', />=0, got -1/],
    ['negative max_tokens', '/v1/completions', { prompt: 'a', max_tokens: -5 }, 'max_tokens', />=0, got -5/],
    ['a fraction', '/v1/chat/completions', { ...chat, n: 1.5 }, 'n', /expected int.*got 1.5/],
    ['an empty stop string', '/v1/chat/completions', { ...chat, stop: ['a', ''] }, 'stop.1', /empty string/],
    [
      'stream_options without stream',
      '/v1/chat/completions',
      { ...chat, stream_options: { include_usage: true } },
      'stream_options',
      /stream: true/,
    ],
    [
      'prompt_logprobs with stream',
      '/v1/completions',
      { prompt: 'a', stream: true, prompt_logprobs: 1 },
      'prompt_logprobs',
      /stream/,
    ],
    ['top_logprobs alone', '/v1/chat/completions', { ...chat, top_logprobs: 2 }, 'top_logprobs', /logprobs: true/],
    [
      'too many top_logprobs',
      '/v1/chat/completions',
      { ...chat, logprobs: true, top_logprobs: 21 },
      'top_logprobs',
      /^top_logprobs asks for 21 tokens.*at most 20/,
    ],
    [
      'tool_choice with no tools',
      '/v1/chat/completions',
      { ...chat, tools: [], tool_choice: 'auto' },
      'tool_choice',
      /needs/,
    ],
    [
      'tool_choice without tools',
      '/v1/chat/completions',
      { ...chat, tool_choice: 'auto' },
      'tool_choice',
      /needs tools/,
    ],
    [
      'a tool that is none of the tools',
      '/v1/chat/completions',
      {
        ...chat,
        tools: [{ type: 'function', function: { name: 'f' } }],
        tool_choice: { type: 'function', function: { name: 'g' } },
      },
      'tool_choice',
      /names "g", which is none of the tools \(f\)/,
    ],
    [
      'a tool without a name',
      '/v1/chat/completions',
      { ...chat, tools: [{ type: 'function', function: { description: 'd' } }] },
      'tools.0.function.name',
      /is required/,
    ],
    [
      'two tools of one name',
      '/v1/chat/completions',
      { ...chat, tools: [1, 2].map(() => ({ type: 'function', function: { name: 'f' } })) },
      'tools.1.function.name',
      /names the tool "f" a second time/,
    ],
    [
      'a choice of an unknown form',
      '/v1/chat/completions',
      { ...chat, tools: [{ type: 'function', function: { name: 'f' } }], tool_choice: 'any' },
      'tool_choice',
      /must be "none", "auto", "required"/,
    ],
    ['functions', '/v1/chat/completions', { ...chat, functions: [{ name: 'f' }] }, 'functions', /write \[\{"type"/],
    [
      'an unknown format',
      '/v1/chat/completions',
      { ...chat, response_format: {} },
      'response_format.type',
      /json_schema/,
    ],
    [
      'a schema without a name',
      '/v1/chat/completions',
      { ...chat, response_format: { type: 'json_schema', json_schema: { schema: {} } } },
      'response_format.json_schema.name',
      /names the schema/,
    ],
    [
      'two constraints',
      '/v1/completions',
      { prompt: 'a', structured_outputs: { regex: 'a', choice: ['a'] } },
      'structured_outputs',
      /exactly one of.*got regex and choice/,
    ],
    [
      'a constraint and a format',
      '/v1/completions',
      { prompt: 'a', structured_outputs: { regex: 'a' }, response_format: { type: 'json_object' } },
      'structured_outputs',
      /exclude each other/,
    ],
    ['guided_json', '/v1/completions', { prompt: 'a', guided_json: {} }, 'guided_json', /structured_outputs: \{"json"/],
    [
      'a budget of thinking without a chat',
      '/v1/completions',
      { prompt: 'a', thinking_token_budget: 5 },
      'thinking_token_budget',
      /not supported/,
    ],
    ['beam search', '/v1/completions', { prompt: 'a', use_beam_search: true }, 'use_beam_search', /not supported yet/],
    ['a suffix', '/v1/completions', { prompt: 'a', suffix: 'b' }, 'suffix', /not supported yet/],
    [
      'both ways to go on',
      '/v1/chat/completions',
      { ...chat, add_generation_prompt: true, continue_final_message: true },
      'continue_final_message',
      /excludes/,
    ],
    ['a mixed prompt', '/v1/completions', { prompt: ['a', 1] }, 'prompt', /unmixed/],
    ['an empty list of prompts', '/v1/completions', { prompt: [] }, 'prompt', /no list empty/],
    ['negative token ids', '/v1/completions', { prompt: [1, -1] }, 'prompt', /at least 0/],
    ['max_tokens 0 without echo', '/v1/completions', { prompt: 'a', max_tokens: 0 }, 'max_tokens', /at least 1/],
    [
      'a word for a token in logit_bias',
      '/v1/completions',
      { prompt: 'a', logit_bias: { the: 1 } },
      'logit_bias',
      /token ids/,
    ],
    [
      'template fields in chat_template_kwargs',
      '/v1/chat/completions',
      { ...chat, chat_template_kwargs: { messages: [] } },
      'chat_template_kwargs',
      /"messages"/,
    ],
    [
      'a template of its own',
      '/v1/chat/completions',
      { ...chat, chat_template: '{{ 1 }}' },
      'chat_template',
      /trustRequestChatTemplate/,
    ],
    [
      "the engine's complaint, in the wire's words",
      '/v1/completions',
      { prompt: 'a', min_tokens: 5, max_tokens: 2 },
      'min_tokens',
      /^min_tokens must be/,
    ],
  ]
  // One server for all: after any bad request the next one must be served.
  const app = createApp({ engine: new FakeEngine(), version: '0' })

  it.each(cases)('answers 400 to %s, then serves the next', async (_title, url, payload, param, message) => {
    const response = await post(app, url, payload)
    expect(response.statusCode).toBe(400)
    expect(response.headers['content-type']).toMatch(/^application\/json/)
    const { error } = response.json()
    expect(Object.keys(error)).toEqual(['message', 'type', 'param', 'code'])
    expect(error).toMatchObject({ param, code: 400 })
    expect(error.message).toMatch(message)
    expect((await post(app, '/v1/chat/completions', chat)).statusCode).toBe(200)
  })

  it('answers 400 to a prompt longer than the context, with a code that says so', async () => {
    const response = await post(app, '/v1/completions', { prompt: Array(300).fill(0) })
    expect(response.statusCode).toBe(400)
    expect(response.json().error).toMatchObject({ code: 'context_length_exceeded', type: 'BadRequestError' })
    expect(response.json().error.message).toMatch(/300.*256/)
  })

  it('answers 404 to an unknown model, naming it and the known ones', async () => {
    const response = await post(app, '/v1/chat/completions', { ...chat, model: 'other' })
    expect(response.statusCode).toBe(404)
    expect(response.json().error.message).toBe('The model "other" does not exist; this server has: "fake".')
  })

  it.each(['text/plain', 'application/x-www-form-urlencoded', undefined])(
    'answers 400 to the content type %s',
    async (type) => {
      const response = await app.inject({
        method: 'POST',
        url: '/v1/completions',
        headers: type === undefined ? {} : { 'content-type': type },
        payload: Buffer.from('{"prompt":"a"}'),
      })
      expect(response.statusCode).toBe(400)
      expect(response.json().error.message).toContain('application/json')
    },
  )

  it('takes a charset beside the content type', async () => {
    const response = await post(
      app,
      '/v1/completions',
      { prompt: 'a b' },
      { 'content-type': 'application/json; charset=utf-8' },
    )
    expect(response.statusCode).toBe(200)
  })

  it.each([
    ['GET', '/v1/completions', 'POST'],
    ['DELETE', '/v1/models', 'GET'],
    ['POST', '/health', 'GET'],
  ] as const)('answers 405 to %s %s', async (method, url, allow) => {
    const response = await app.inject({ method, url })
    expect(response.statusCode).toBe(405)
    expect(response.headers['allow']).toBe(allow)
    expect(response.json().error).toMatchObject({ code: 405, type: 'MethodNotAllowedError' })
  })

  it.each([
    ['GET', '/nothing'],
    ['POST', '/v1/nothing'],
    ['GET', '/'],
  ] as const)('answers 404 to %s %s, whatever its body', async (method, url) => {
    const response = await app.inject({
      method,
      url,
      headers: { 'content-type': 'application/json' },
      ...(method === 'POST' && { payload: '{' }),
    })
    expect(response.statusCode).toBe(404)
    expect(response.json().error).toMatchObject({ code: 404, type: 'NotFoundError' })
  })

  it('answers 400 to a path that does not decode', async () => {
    const response = await app.inject('/v1/models/%E0%A4%A')
    expect(response.statusCode).toBe(400)
    expect(response.json().error).toMatchObject({ code: 400 })
  })

  it('answers 413 to a body over the limit', async () => {
    const small = createApp({ engine: new FakeEngine(), version: '0', bodyLimit: 100 })
    const response = await post(small, '/v1/completions', { prompt: 'a'.repeat(200) })
    expect(response.statusCode).toBe(413)
    expect(response.json().error).toMatchObject({ code: 413, type: 'PayloadTooLargeError' })
    expect((await post(small, '/v1/completions', { prompt: 'a b' })).statusCode).toBe(200)
  })

  it('ignores fields that nobody knows, and those that ask for nothing', async () => {
    const extras = {
      user: 'u',
      metadata: { a: 'b' },
      store: true,
      whatever: [1],
      use_beam_search: false,
      response_format: { type: 'text' },
      best_of: 1,
      stop: null,
      temperature: null,
    }
    expect((await post(app, '/v1/chat/completions', { ...chat, ...extras })).statusCode).toBe(200)
  })
})

describe('engine failures', () => {
  it('answers 500 without the inside of an unexpected failure, and logs where but not what', async () => {
    const lines: string[] = []
    const push = (line: string): void => void lines.push(line)
    const logger: Logger = { debug: push, info: push, warn: push, error: push }
    const failure = { atToken: 0, error: new TypeError('secret words of the prompt\n    at secret') }
    const app = createApp({ engine: new FakeEngine({ failure }), version: '0', logger })
    const response = await post(
      app,
      '/v1/chat/completions',
      { messages: [{ role: 'user', content: 'my secret words' }] },
      { 'x-request-id': 'req-1' },
    )
    expect(response.statusCode).toBe(500)
    expect(response.body).not.toContain('secret')
    expect(lines.join('\n')).toContain('request req-1 failed: TypeError')
    expect(lines.join('\n')).toContain('POST /v1/chat/completions 500')
    expect(lines.join('\n')).not.toContain('secret')
  })

  it('answers 503 with Retry-After when the engine is overloaded', async () => {
    const failure = { atToken: 0, error: new EngineOverloadedError('1024 requests are waiting; try again later.') }
    const response = await post(createApp({ engine: new FakeEngine({ failure }), version: '0' }), '/v1/completions', {
      prompt: 'a',
    })
    expect(response.statusCode).toBe(503)
    expect(response.headers['retry-after']).toBe('1')
  })
})

describe('API keys', () => {
  const app = createApp({ engine: new FakeEngine(), version: '0', apiKeys: ['first', 'second'] })

  it('lets in whoever has one of the keys', async () => {
    for (const key of ['first', 'second']) {
      expect((await post(app, '/v1/chat/completions', chat, { authorization: `Bearer ${key}` })).statusCode).toBe(200)
    }
  })

  it.each([undefined, 'Bearer third', 'Bearer', 'first', 'Bearer first2', 'Basic first'])(
    'answers 401 to %s',
    async (authorization) => {
      const response = await post(
        app,
        '/v1/chat/completions',
        chat,
        authorization === undefined ? {} : { authorization },
      )
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).toBe('Bearer')
      expect(response.json().error).toMatchObject({ code: 401, type: 'AuthenticationError' })
    },
  )

  it('holds for every spelling of the path', async () => {
    expect((await app.inject('/%761/models')).statusCode).not.toBe(200)
    expect((await app.inject('/v1/%6dodels')).statusCode).toBe(401)
  })

  it('asks for none outside /v1', async () => {
    for (const url of ['/health', '/version', '/ping']) expect((await app.inject(url)).statusCode).toBe(200)
  })

  it('refuses an empty key at the start', () => {
    expect(() => createApp({ engine: new FakeEngine(), version: '0', apiKeys: [''] })).toThrow(InvalidConfigError)
  })

  it('keeps the prefix caches of different keys apart', async () => {
    const engine = new FakeEngine()
    const keyed = createApp({ engine, version: '0', apiKeys: ['first', 'second'] })
    for (const [key, salt] of [
      ['first', undefined],
      ['first', undefined],
      ['second', undefined],
      ['first', 's'],
      ['second', 's'],
    ]) {
      await post(keyed, '/v1/chat/completions', { ...chat, cache_salt: salt }, { authorization: `Bearer ${key}` })
    }
    const salts = engine.seen.map(({ request }) => request.cacheSalt)
    expect(salts[0]).toBe(salts[1])
    expect(new Set(salts).size).toBe(4)
    expect(salts.join(' ')).not.toMatch(/first|second/)
  })

  it('shares them where the operator wants it, or asks for no keys', async () => {
    const engine = new FakeEngine()
    const shared = createApp({ engine, version: '0', apiKeys: ['first'], isolatePrefixCache: false })
    await post(shared, '/v1/chat/completions', chat, { authorization: 'Bearer first' })
    await post(createApp({ engine, version: '0' }), '/v1/chat/completions', { ...chat, cache_salt: 'mine' })
    expect(engine.seen.map(({ request }) => request.cacheSalt)).toEqual([null, 'mine'])
  })
})

describe('request ids', () => {
  it('come back in X-Request-Id and in the id of the answer', async () => {
    const engine = new FakeEngine()
    const app = createApp({ engine, version: '0' })
    const given = await post(app, '/v1/chat/completions', chat, { 'x-request-id': 'abc-1' })
    expect(given.headers['x-request-id']).toBe('abc-1')
    expect(given.json().id).toBe('chatcmpl-abc-1')
    const inBody = await post(app, '/v1/completions', { prompt: 'a', request_id: 'abc-2' })
    expect(inBody.json().id).toBe('cmpl-abc-2')
    const made = await post(app, '/v1/chat/completions', chat)
    expect(made.json().id).toBe(`chatcmpl-${made.headers['x-request-id']}`)
  })

  it('may be repeated by the client without clashing in the engine', async () => {
    const engine = new FakeEngine()
    const app = createApp({ engine, version: '0' })
    await Promise.all([1, 2].map(() => post(app, '/v1/chat/completions', chat, { 'x-request-id': 'same' })))
    expect(new Set(engine.seen.map(({ request }) => request.requestId)).size).toBe(2)
  })

  it('are replaced where they are unfit for a header or a log', async () => {
    const response = await post(createApp({ engine: new FakeEngine(), version: '0' }), '/v1/chat/completions', chat, {
      'x-request-id': 'a b;c',
    })
    expect(response.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })
})
