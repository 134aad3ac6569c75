import { EngineDeadError, EngineOverloadedError } from '@octavo/core'
import { messageEventSchema, messageSchema } from '@octavo/sdk/protocol'
import type { MessageEvent } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import type { FakeEngineOptions } from '../testing/fake-engine.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { readNamedEvents } from '../testing/read-named-events.ts'

function open(options: FakeEngineOptions = {}, appOptions: object = {}) {
  const engine = new FakeEngine({ parses: true, ...options })
  const app = createApp({ engine, version: '0', ...appOptions })
  const post = (body: unknown, headers: Record<string, string> = {}, url = '/v1/messages') =>
    app.inject({
      method: 'POST',
      url,
      headers: { 'content-type': 'application/json', 'x-request-id': 'r', ...headers },
      payload: typeof body === 'string' ? body : JSON.stringify(body),
    })
  return { engine, app, post }
}

const say = (content: unknown, more: object = {}) => ({
  model: 'fake',
  max_tokens: 50,
  messages: [{ role: 'user', content }],
  ...more,
})

describe('a whole message', () => {
  it('has text, and why it ended', async () => {
    const { post } = open()
    const response = await post(say('one two END'))
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({ 'request-id': 'r', 'x-request-id': 'r' })
    expect(messageSchema.parse(response.json())).toEqual({
      id: 'msg_r',
      type: 'message',
      role: 'assistant',
      model: 'fake',
      content: [{ type: 'text', text: 'one two', citations: null }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 3,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 3,
        service_tier: 'standard',
      },
    })
  })

  it.each([
    ['max_tokens', { max_tokens: 2 }, null],
    ['stop_sequence', { stop_sequences: ['three', 'two'] }, 'two'],
    ['model_context_window_exceeded', { max_tokens: 64_000 }, null],
  ])('ends with %s', async (reason, more, sequence) => {
    const { post } = open()
    const body = (await post(say('one two three', more))).json()
    expect(body).toMatchObject({ stop_reason: reason, stop_sequence: sequence })
  })

  it('has thinking, text and calls as blocks, with numbers as the model wrote them', async () => {
    const { post } = open()
    const body = await post(say('~hmm hello !get {"id":12345678901234567890,"x":1.0} !go {"a":[]} END'))
    expect(body.json()).toMatchObject({
      content: [
        { type: 'thinking', thinking: 'hmm', signature: expect.stringMatching(/./) },
        { type: 'text', text: ' hello' },
        { type: 'tool_use', id: 'call-0-0', name: 'get' },
        { type: 'tool_use', id: 'call-0-1', name: 'go', input: { a: [] }, caller: { type: 'direct' } },
      ],
      stop_reason: 'tool_use',
    })
    expect(body.body).toContain('"input":{"id":12345678901234567890,"x":1.0}')
  })

  it('has an empty input where the arguments were cut off or are no object', async () => {
    const { post } = open()
    for (const text of ['!get {"id":1,', '!get {"id"} END', '!get END']) {
      const { content } = (await post(say(text, { max_tokens: 2 }))).json()
      expect(content.at(-1)).toMatchObject({ type: 'tool_use', name: 'get', input: {} })
    }
  })

  it('leaves out thinking that nobody wants to see, and says that there was some', async () => {
    const { post } = open()
    const { content } = (
      await post(say('~hmm hello END', { thinking: { type: 'adaptive', display: 'omitted' } }))
    ).json()
    expect(content).toMatchObject([{ type: 'thinking', thinking: '' }, { type: 'text' }])
  })

  it('counts cached tokens apart from the others', async () => {
    const { post } = open()
    const words = Array.from({ length: 40 }, (_, i) => `w${i}`).join(' ')
    const { usage } = (await post(say(words, { max_tokens: 1 }))).json()
    expect(usage).toMatchObject({ input_tokens: 8, cache_read_input_tokens: 32, output_tokens: 1 })
  })
})

describe('a streamed message', () => {
  it('is told in named events, and is the whole one', async () => {
    const { post } = open()
    const text = '~hmm ~well hello there !get {"id":7} !go {"a": {} bye END'
    const whole = (await post(say(text))).json()
    const response = await post(say(text, { stream: true }))
    expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8')
    const events = readNamedEvents<MessageEvent>(response.body)
    for (const { name, data } of events) expect(messageEventSchema.parse(data).type).toBe(name)
    expect(events.map(({ name }) => name)).toEqual([
      'message_start',
      ...[
        'content_block_start',
        'content_block_delta',
        'content_block_delta',
        'content_block_delta',
        'content_block_stop',
      ],
      ...['content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop'],
      ...['content_block_start', 'content_block_delta', 'content_block_stop'],
      ...['content_block_start', 'content_block_delta', 'content_block_delta', 'content_block_stop'],
      ...['content_block_start', 'content_block_delta', 'content_block_stop'],
      'message_delta',
      'message_stop',
    ])
    const joined = joinEvents(events.map(({ data }) => data))
    expect(joined.inputs).toEqual(['{"id":7}', '{"a": {}'.replace(' ', '')])
    expect(joined.message).toMatchObject({ stop_reason: 'tool_use', usage: whole.usage })
    expect(joined.texts.join('')).toBe(whole.content.find(({ type }: { type: string }) => type === 'text').text)
    expect(joined.thinking).toBe(whole.content[0].thinking)
  })

  it('says the stop sequence, and nothing of it in the text', async () => {
    const { post } = open()
    const response = await post(say('one two three', { stream: true, stop_sequences: [' three'] }))
    const { message, texts } = joinEvents(readNamedEvents<MessageEvent>(response.body).map(({ data }) => data))
    expect(texts.join('')).toBe('one two')
    expect(message).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: ' three' })
  })

  it('is a status where it fails before it has begun, an event later', async () => {
    const failure = (atToken: number) => ({ failure: { atToken, error: new EngineOverloadedError('too many') } })
    const early = await open(failure(0)).post(say('one two', { stream: true }))
    expect([early.statusCode, early.json().error.type]).toEqual([529, 'overloaded_error'])
    const late = await open(failure(1)).post(say('one two', { stream: true }))
    expect(late.statusCode).toBe(200)
    const last = readNamedEvents(late.body).at(-1)
    expect(last).toMatchObject({ name: 'error', data: { type: 'error', error: { type: 'overloaded_error' } } })
  })
})

/** As clients do. */
function joinEvents(events: readonly MessageEvent[]) {
  const texts: string[] = []
  const inputs: string[] = []
  let thinking = ''
  let message: object = {}
  for (const event of events) {
    if (event.type === 'message_start') message = event.message
    if (event.type === 'message_delta') message = { ...message, ...event.delta, usage: event.usage }
    if (event.type === 'content_block_start' && event.content_block.type === 'tool_use') inputs.push('')
    if (event.type !== 'content_block_delta') continue
    if (event.delta.type === 'text_delta') texts.push(event.delta.text)
    if (event.delta.type === 'thinking_delta') thinking += event.delta.thinking
    if (event.delta.type === 'input_json_delta') inputs[inputs.length - 1] += event.delta.partial_json
  }
  return { message, texts, inputs, thinking }
}

describe('a count of tokens', () => {
  it('is that of the prompt, and what has no part in it is not needed', async () => {
    const { post, engine } = open()
    const count = async (body: object) => (await post(body, {}, '/v1/messages/count_tokens')).json()
    const prompt = { model: 'fake', messages: [{ role: 'user', content: 'one two three' }] }
    expect(await count(prompt)).toEqual({ input_tokens: 3 })
    expect(await count({ ...prompt, system: 'be good' })).toEqual({ input_tokens: 5 })
    const call = { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'b', input: {} }] }
    expect(await count({ ...prompt, messages: [...prompt.messages, call] })).toEqual({
      input_tokens: expect.any(Number),
    })
    expect(await count({ ...prompt, messages: [] })).toMatchObject({ error: { type: 'invalid_request_error' } })
    expect(engine.seen).toEqual([])
  })
})

describe('errors', () => {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } }
  it.each([
    ['no max_tokens', { model: 'fake', messages: [{ role: 'user', content: 'a' }] }, /^max_tokens: is required/],
    ['no model', { max_tokens: 1, messages: [{ role: 'user', content: 'a' }] }, /^model: is required/],
    ['no messages', { model: 'fake', max_tokens: 1, messages: [] }, /^messages: must have at least 1/],
    ['another role', { ...say(''), messages: [{ role: 'tool', content: 'a' }] }, /^messages\.0\.role: must be "user"/],
    ['an image', say([image]), /^messages\.0\.content\.0\.type: blocks of type "image" are not supported here/],
    ['a document', say([{ type: 'document', source: {} }]), /content\.0\.type: blocks of type "document"/],
    [
      'an image in a result',
      say([{ type: 'tool_result', tool_use_id: 'a', content: [image] }]),
      /content\.0\.content\.0\.type: blocks of type "image"/,
    ],
    [
      'a call by the user',
      say([{ type: 'tool_use', id: 'a', name: 'b', input: {} }]),
      /"tool_use" are not allowed for the role user/,
    ],
    ['a system image', say('a', { system: [image] }), /^system\.0\.type: blocks of type "image"/],
    [
      'a server tool',
      say('a', { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }),
      /^tools\.0\.type: tools of type "web_search_20250305"/,
    ],
    ['a tool without schema', say('a', { tools: [{ name: 'b' }] }), /^tools\.0\.input_schema: is required/],
    ['a choice without tools', say('a', { tool_choice: { type: 'any' } }), /^tool_choice: needs tools/],
    ['an unknown choice', say('a', { tool_choice: 'auto' }), /^tool_choice: must be an object with the type/],
    [
      'other thinking',
      say('a', { thinking: { type: 'between_tools' } }),
      /^thinking\.type: must be an object with the type "enabled"/,
    ],
    ['no budget', say('a', { thinking: { type: 'enabled' } }), /^thinking\.budget_tokens/],
    ['servers', say('a', { mcp_servers: [{ url: 'http://a' }] }), /^mcp_servers: are not supported/],
    ['a container', say('a', { container: 'c' }), /^container: is not supported/],
    [
      'edits',
      say('a', { context_management: { edits: [{ type: 'clear_tool_uses_20250919' }] } }),
      /^context_management: only edits/,
    ],
    ['a tier', say('a', { service_tier: 'priority' }), /^service_tier/],
    ['fast', say('a', { speed: 'fast' }), /^speed/],
    ['OpenAI’s stop', say('a', { stop: ['b'] }), /^stop: is called stop_sequences here/],
    [
      'two formats',
      say('a', {
        output_format: { type: 'json_schema', schema: {} },
        output_config: { format: { type: 'json_schema', schema: {} } },
      }),
      /^output_format: is the older name/,
    ],
    ['samples', say('a', { n: 2 }), /^n: has no place in a message/],
    [
      'a call at the end',
      {
        ...say('a'),
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'b', input: {} }] },
        ],
      },
      /^messages: ends with a call/,
    ],
    [
      'nothing to continue',
      {
        ...say('a'),
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: '' },
        ],
      },
      /^messages: ends with a message of the assistant without text/,
    ],
    ['JSON that is none', '{"model":', /^The body is not valid JSON/],
  ])('name what is wrong: %s', async (_, body, message) => {
    const response = await open().post(body)
    expect(response.json()).toEqual({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringMatching(message) },
      request_id: 'r',
    })
    expect(response.statusCode).toBe(400)
  })

  it('have Anthropic’s types', async () => {
    const { app, post } = open({}, { apiKeys: ['secret'], bodyLimit: 1000 })
    const key = { 'x-api-key': 'secret', 'anthropic-version': '2023-06-01', 'anthropic-beta': 'a,b' }
    const typeOf = ({ statusCode, body }: { statusCode: number; body: string }) => [
      statusCode,
      JSON.parse(body).error.type,
    ]
    expect(typeOf(await post(say('a')))).toEqual([401, 'authentication_error'])
    expect((await post(say('a'), key)).statusCode).toBe(200)
    expect((await post(say('a'), { authorization: 'Bearer secret' })).statusCode).toBe(200)
    expect(typeOf(await post(say('a', { model: 'b' }), key))).toEqual([404, 'not_found_error'])
    expect(typeOf(await post(say('a'.repeat(2000)), key))).toEqual([413, 'request_too_large'])
    expect(typeOf(await post(say('a'), key, '/v1/messages/batches'))).toEqual([404, 'not_found_error'])
    expect(typeOf(await app.inject({ url: '/v1/messages', headers: key }))).toEqual([405, 'invalid_request_error'])
    expect(typeOf(await app.inject({ url: '/v1/messages/', headers: key }))).toEqual([405, 'invalid_request_error'])
    expect((await post(say('a'), key, '/v1/other')).json()).toMatchObject({ error: { code: 404 } })
  })

  it('of an engine that is started again ask to wait', async () => {
    const error = new EngineDeadError('gone', { retryAfterMs: 1500 })
    const response = await open({ failure: { atToken: 0, error } }).post(say('a'))
    expect([response.statusCode, response.headers['retry-after']]).toEqual([529, '2'])
    const dead = await open({ failure: { atToken: 0, error: new Error('a secret') } }).post(say('a'))
    expect([dead.statusCode, dead.json().error.type]).toEqual([500, 'api_error'])
    expect(dead.body).not.toContain('secret')
  })

  it('of a prompt that is too long have the words that Claude Code looks for', async () => {
    const { post } = open({ maxModelLen: 4 })
    expect((await post(say('a b c d e f'))).json().error.message).toMatch(
      /^prompt is too long: The prompt has 6 tokens/,
    )
  })

  it('spell core’s fields as the body does', async () => {
    const { post } = open()
    expect((await post(say('a', { stop_sequences: ['b'.repeat(5000)] }))).json().error.message).toMatch(
      /^stop_sequences/,
    )
  })
})
