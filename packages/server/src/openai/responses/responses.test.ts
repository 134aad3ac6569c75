import { InvalidRequestError, type Logger } from '@octavo/core'
import type { ResponseObject } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { type AppOptions, createApp } from '../../app.ts'
import { FakeEngine, type FakeEngineOptions } from '../../testing/fake-engine.ts'
import { followResponse, readResponseEvents } from '../../testing/response-events.ts'

function open(engineOptions: FakeEngineOptions = {}, options: Partial<AppOptions> = {}) {
  const engine = new FakeEngine({ parses: true, ...engineOptions })
  const app = createApp({ engine, version: '0', ...options })
  const post = (payload: object) => app.inject({ method: 'POST', url: '/v1/responses', payload })
  return {
    engine,
    app,
    post,
    async whole(payload: object): Promise<ResponseObject> {
      const response = await post({ temperature: 0, ...payload })
      expect(response.body).toContain('"object":"response"')
      return response.json()
    },
    async streamed(payload: object) {
      const response = await post({ temperature: 0, ...payload, stream: true })
      expect(response.headers['content-type']).toContain('text/event-stream')
      const events = readResponseEvents(response.body)
      return { events, response: followResponse(events)! }
    },
  }
}

/** Without what is drawn, or depends on the clock. */
function withoutNames(value: unknown): unknown {
  const named = JSON.stringify(value).replaceAll(/(resp|msg|rs|fc)_[0-9a-f]{48}/g, '$1_x')
  return { ...(JSON.parse(named) as object), created_at: 0, completed_at: 0 }
}

const everything = '~think ~more hello world !get {"a":1} !set {"b":2} END'

describe('a response', () => {
  it('has all keys, and the items of what the model wrote', async () => {
    const response = await open().whole({ input: everything, metadata: { a: 'b' }, user: 'u' })
    const { id } = response
    expect(id).toMatch(/^resp_[0-9a-f]{48}$/)
    const name = id.slice('resp_'.length)
    expect(response).toEqual({
      id,
      object: 'response',
      created_at: expect.any(Number),
      status: 'completed',
      background: false,
      completed_at: expect.any(Number),
      error: null,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      max_tool_calls: null,
      model: 'fake',
      output: [
        {
          type: 'reasoning',
          id: `rs_${name}_0`,
          status: 'completed',
          summary: [],
          content: [{ type: 'reasoning_text', text: 'thinkmore' }],
        },
        {
          type: 'message',
          id: `msg_${name}_1`,
          status: 'completed',
          role: 'assistant',
          content: [{ type: 'output_text', text: ' hello world', annotations: [], logprobs: [] }],
        },
        {
          type: 'function_call',
          id: `fc_${name}_2`,
          status: 'completed',
          call_id: 'call-0-0',
          name: 'get',
          arguments: '{"a":1}',
        },
        {
          type: 'function_call',
          id: `fc_${name}_3`,
          status: 'completed',
          call_id: 'call-0-1',
          name: 'set',
          arguments: '{"b":2}',
        },
      ],
      parallel_tool_calls: true,
      previous_response_id: null,
      prompt_cache_key: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: 'default',
      store: true,
      temperature: 0,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      tool_choice: 'auto',
      tools: [],
      top_logprobs: 0,
      top_p: 1,
      presence_penalty: 0,
      frequency_penalty: 0,
      truncation: 'disabled',
      usage: {
        input_tokens: 9,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: 9,
        output_tokens_details: { reasoning_tokens: 2 },
        total_tokens: 18,
      },
      user: 'u',
      metadata: { a: 'b' },
    })
  })

  it.each([
    { input: everything },
    { input: everything, reasoning: { summary: 'detailed' }, include: ['reasoning.encrypted_content'] },
    { input: everything, max_output_tokens: 1 },
    { input: everything, max_output_tokens: 4 },
    { input: everything, max_output_tokens: 6 },
    { input: 'one two three', max_output_tokens: 5, include: ['message.output_text.logprobs'], top_logprobs: 2 },
    { input: 'one stop it', stop: [' stop'] },
    { input: 'END' },
    { input: '~only ~thinking END' },
  ])('is the same streamed: %j', async (request) => {
    const { whole, streamed } = open()
    const { events, response } = await streamed(request)
    expect(withoutNames(response)).toEqual(withoutNames(await whole(request)))
    expect(events[0]).toMatchObject({ type: 'response.created', response: { status: 'in_progress' } })
  })

  it('is incomplete at the token limit, and its last item with it', async () => {
    const { whole } = open()
    const response = await whole({ input: everything, max_output_tokens: 4 })
    expect(response).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } })
    expect(response.output.map(({ status }) => status)).toEqual(['completed', 'incomplete'])
    expect(response.completed_at).toBeNull()
    // The context ends before the number of tokens that was asked for.
    const end = await open({ maxModelLen: 8 }).whole({ input: 'one two three', max_output_tokens: 4000 })
    expect(end).toMatchObject({ status: 'incomplete', usage: { total_tokens: 8 } })
  })

  it('has a message, even if the model said nothing', async () => {
    const { whole } = open()
    const empty = [{ type: 'message', status: 'completed', content: [{ text: '' }] }]
    expect(await whole({ input: 'END' })).toMatchObject({ status: 'completed', output: empty })
    const { output } = await whole({ input: '~thought END' })
    expect(output).toMatchObject([{ type: 'reasoning', status: 'completed' }, ...empty])
  })

  it('has logprobs of its text alone', async () => {
    const request = { include: ['message.output_text.logprobs'], top_logprobs: 1 }
    const { events, response } = await open().streamed({ input: '~think one two END', ...request })
    const tokensOf = (part: object) => (part as { logprobs: { token: string }[] }).logprobs.map(({ token }) => token)
    const [message] = response.output.filter((item) => item.type === 'message')
    expect(tokensOf(message!.content[0]!)).toEqual([' one', ' two'])
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
    expect(deltas.flatMap(tokensOf)).toEqual([' one', ' two'])
    expect(response).toMatchObject({ top_logprobs: 1 })
  })

  it('fails in mid-stream with an error and its own last event, before the stream with a status', async () => {
    const failure = { atToken: 2, error: new Error('planted') }
    const { streamed, post, app } = open({ failure })
    const { events, response } = await streamed({ input: 'one two three' })
    expect(events.at(-2)).toMatchObject({ type: 'error', error: { type: 'InternalServerError', code: '500' } })
    expect(response).toMatchObject({
      status: 'failed',
      error: { code: 'server_error' },
      output: [{ type: 'message', status: 'incomplete' }],
      usage: { output_tokens: 2 },
    })
    expect(JSON.stringify(events)).not.toContain('planted')
    expect((await app.inject(`/v1/responses/${response.id}`)).json()).toMatchObject({ status: 'failed' })
    expect((await post({ input: 'one two three' })).statusCode).toBe(500)
    const refusing = open({
      failure: { atToken: 0, error: new InvalidRequestError([{ field: 'maxTokens' }, ' is odd']) },
    })
    const refused = await refusing.post({ input: 'one', stream: true })
    expect(refused.statusCode).toBe(400)
    expect(refused.json().error.message).toBe('max_output_tokens is odd')
  })

  it('takes the id that the request brings, once', async () => {
    const { post, app } = open()
    const request = { input: 'one END', request_id: 'mine' }
    expect((await post(request)).json()).toMatchObject({ id: 'resp_mine' })
    expect((await post(request)).json()).toMatchObject({ error: { param: 'request_id', code: 400 } })
    expect((await app.inject('/v1/responses/resp_mine')).statusCode).toBe(200)
    expect((await post({ ...request, request_id: 'resp_other', store: false })).json()).toMatchObject({
      id: 'resp_other',
    })
  })
})

describe('what the engine gets', () => {
  it('is a chat of the items, those of one turn together', async () => {
    const { engine, post } = open()
    await post({
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'Rules.' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'a' },
            { type: 'input_text', text: 'b' },
          ],
        },
        { type: 'reasoning', summary: [{ type: 'summary_text', text: 'thought' }] },
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'said', annotations: [] }] },
        { type: 'function_call', call_id: 'c1', name: 'f', arguments: '{"x":1.0}' },
        { type: 'function_call', call_id: 'c2', name: 'g', arguments: '{}' },
        { type: 'function_call_output', call_id: 'c1', output: 'one' },
        { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'two' }] },
        { type: 'function_call', call_id: 'c3', name: 'f', arguments: '{}' },
        { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'again' }], summary: [] },
        { role: 'assistant', content: 'END' },
      ],
    })
    const call = (id: string, name: string, text: string) => ({
      id,
      type: 'function',
      function: { name, arguments: text },
    })
    expect(engine.seen[0]?.request.prompt).toMatchObject({
      type: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'developer', content: 'Rules.' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
        {
          role: 'assistant',
          reasoning: 'thought',
          content: 'said',
          tool_calls: [call('c1', 'f', '{"x":1.0}'), call('c2', 'g', '{}')],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'one' },
        { role: 'tool', tool_call_id: 'c2', content: 'two' },
        { role: 'assistant', content: null, tool_calls: [call('c3', 'f', '{}')] },
        { role: 'assistant', reasoning: 'again', content: 'END' },
      ],
    })
  })

  it('is what the fields say', async () => {
    const { engine, post } = open()
    await post({
      input: 'one END',
      max_output_tokens: 7,
      top_k: 3,
      min_p: 0.1,
      presence_penalty: 0.5,
      frequency_penalty: 0.25,
      repetition_penalty: 1.5,
      seed: 9,
      stop: 'x',
      min_tokens: 1,
      ignore_eos: false,
      skip_special_tokens: false,
      priority: 4,
      cache_salt: 's',
      thinking_token_budget: 5,
      parallel_tool_calls: false,
      reasoning: { effort: 'low' },
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
      logit_bias: { '1': 2 },
      structured_outputs: { regex: '.*' },
    })
    expect(engine.seen[0]?.request).toMatchObject({
      priority: 4,
      cacheSalt: 's',
      prompt: {
        parallelToolCalls: false,
        chatTemplateKwargs: { reasoning_effort: 'low', enable_thinking: true },
      },
      params: {
        maxTokens: 7,
        topK: 3,
        minP: 0.1,
        presencePenalty: 0.5,
        frequencyPenalty: 0.25,
        repetitionPenalty: 1.5,
        seed: 9,
        stop: ['x'],
        minTokens: 1,
        ignoreEos: false,
        skipSpecialTokens: false,
        thinkingTokenBudget: 5,
        logprobs: 2,
        logitBias: { 1: 2 },
        structuredOutput: { type: 'regex', pattern: '.*' },
      },
    })
  })

  it('has tools and schemas as they were written', async () => {
    const { engine, app } = open()
    const schema = '{"type":"object","properties":{"2":{"maximum":1.0},"1":{"minimum":9007199254740993}}}'
    const tool = `{"type":"function","name":"f","strict":true,"description":"d","parameters":${schema}}`
    const choice = '{"type":"allowed_tools","tools":[{"type":"function","name":"f"}]}'
    const format = `{"type":"json_schema","name":"n","schema":${schema}}`
    const headers = { 'content-type': 'application/json' }
    const payload = `{"input":"one END","tools":[${tool}],"tool_choice":${choice},"text":{"format":${format}}}`
    const response = await app.inject({ method: 'POST', url: '/v1/responses', headers, payload })
    expect(response.json()).toMatchObject({
      tools: [{ type: 'function', name: 'f', strict: true, description: 'd' }],
      tool_choice: { type: 'allowed_tools', mode: 'auto' },
      text: { format: { type: 'json_schema', name: 'n', strict: false, description: null } },
    })
    expect(engine.seen[0]?.request).toMatchObject({
      prompt: {
        tools: `[{"type":"function","function":{"name":"f","description":"d","parameters":${schema},"strict":true}}]`,
        toolChoice: { allowed: ['f'], mode: 'auto' },
      },
      params: { structuredOutput: { type: 'json', schema } },
    })
  })

  it('leaves out the oldest turns that do not fit, where that is wanted', async () => {
    const { engine, whole, post } = open({ maxModelLen: 24 })
    const turn = (text: string) => [
      { role: 'user', content: `${text} ${'word '.repeat(4)}` },
      { role: 'assistant', content: 'yes' },
    ]
    const input = [
      { role: 'system', content: 'Rules.' },
      ...['a', 'b', 'c', 'd', 'e'].flatMap(turn),
      { role: 'user', content: 'END' },
    ]
    expect((await post({ input })).json()).toMatchObject({
      error: { code: 'context_length_exceeded', message: expect.stringContaining('truncation: "auto"') },
    })
    const response = await whole({ input, truncation: 'auto' })
    expect(response.truncation).toBe('auto')
    const { prompt } = engine.seen.at(-1)!.request
    const texts = prompt.type === 'chat' ? prompt.messages.map(({ content }) => String(content).slice(0, 6).trim()) : []
    expect(texts[0]).toBe('Rules.')
    expect(texts.at(-1)).toBe('END')
    expect(texts.slice(1, -1)).toEqual(['c word', 'yes', 'd word', 'yes', 'e word', 'yes'])
    // What one turn alone is too long for stays an error.
    const long = { input: 'word '.repeat(100), truncation: 'auto' }
    expect((await post(long)).statusCode).toBe(400)
  })
})

describe('what is refused', () => {
  const { post } = open()

  it.each([
    [{}, 'input'],
    [{ input: [] }, 'input'],
    [{ input: 7 }, 'input'],
    [{ messages: [{ role: 'user', content: 'a' }] }, 'messages'],
    [{ input: 'a', max_tokens: 3 }, 'max_tokens'],
    [{ input: 'a', max_output_tokens: 0 }, 'max_output_tokens'],
    [{ input: 'a', response_format: { type: 'text' } }, 'response_format'],
    [{ input: 'a', reasoning_effort: 'low' }, 'reasoning_effort'],
    [{ input: 'a', reasoning: { summary: 'concise' } }, 'reasoning.summary'],
    [{ input: 'a', reasoning: { generate_summary: 'auto' } }, 'reasoning.generate_summary'],
    [{ input: 'a', conversation: { id: 'conv_1' } }, 'conversation'],
    [{ input: 'a', prompt: { id: 'p' } }, 'prompt'],
    [{ input: 'a', context_management: [{ type: 'compaction' }] }, 'context_management'],
    [{ input: 'a', prompt_cache_retention: '24h' }, 'prompt_cache_retention'],
    [{ input: 'a', service_tier: 'priority' }, 'service_tier'],
    [{ input: 'a', text: { verbosity: 'high' } }, 'text.verbosity'],
    [{ input: 'a', text: { format: { type: 'grammar' } } }, 'text.format.type'],
    [{ input: 'a', include: ['everything'] }, 'include.0'],
    [{ input: 'a', background: true, store: false }, 'background'],
    [{ input: 'a', stream_options: { include_obfuscation: false } }, 'stream_options'],
    [{ input: 'a', stream: true, stream_options: { include_obfuscation: true } }, 'stream_options.include_obfuscation'],
    [{ input: 'a', metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) }, 'metadata'],
    [{ input: 'a', metadata: { k: 'v'.repeat(513) } }, 'metadata.k'],
    [{ input: 'a', metadata: { k: 1 } }, 'metadata.k'],
    [{ input: 'a', tools: [{ type: 'file_search', vector_store_ids: [] }] }, 'tools.0.type'],
    [{ input: 'a', tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools.0.name'],
    [{ input: 'a', tool_choice: 'required' }, 'tool_choice'],
    [{ input: 'a', tool_choice: { type: 'web_search' } }, 'tool_choice.type'],
    [
      { input: 'a', tools: [{ type: 'function', name: 'f' }], tool_choice: { type: 'function', name: 'g' } },
      'tool_choice',
    ],
    [{ input: 'a', top_logprobs: 1 }, 'top_logprobs'],
    [{ input: 'a', n: 2 }, 'n'],
    [{ input: [{ role: 'tool', content: 'a' }] }, 'input.0.role'],
    [{ input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'f' }] }] }, 'input.0.content.0'],
    [{ input: [{ type: 'function_call_output', output: 'a' }] }, 'input.0.call_id'],
    [{ input: [{ type: 'computer_call' }] }, 'input.0.type'],
    [{ input: ['a'] }, 'input.0'],
  ])('%j', async (request, param) => {
    const response = await post(request)
    expect(response.statusCode).toBe(400)
    expect(response.json().error).toMatchObject({ param, message: expect.stringContaining(param.split('.')[0]!) })
  })

  it('names what it does not know', async () => {
    const messageOf = async (request: object) => (await post(request)).json().error.message as string
    const image = [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }]
    expect(await messageOf({ input: image })).toContain('"input_image"')
    expect(await messageOf({ input: 'a', tools: [{ type: 'mcp' }] })).toContain('"mcp"')
    expect(await messageOf({ input: [{ type: 'shell_call' }] })).toContain('"shell_call"')
    expect(
      await messageOf({ input: 'a', tools: [{ type: 'function', name: 'f' }], tool_choice: { type: 'mcp' } }),
    ).toContain('must be "none"')
  })

  it.each([
    { tools: [], tool_choice: 'auto', truncation: 'disabled', text: { verbosity: 'medium' }, service_tier: 'auto' },
    {
      include: ['web_search_call.action.sources', 'file_search_call.results'],
      max_tool_calls: 3,
      safety_identifier: 's',
    },
    { prompt_cache_key: 'k', prompt_cache_retention: 'in_memory', n: 1, conversation: null, stream_options: null },
    { reasoning: { effort: null, summary: null }, metadata: null, tools: null, tool_choice: null, text: null },
  ])('but not %j', async (more) => {
    const response = await post({ input: 'one END', ...more })
    expect(response.statusCode).toBe(200)
  })
})

it('says nothing of content in logs', async () => {
  const lines: string[] = []
  const push = (line: string): void => void lines.push(line)
  const logger: Logger = { debug: push, info: push, warn: push, error: push }
  const failure = { atToken: 1, error: new Error('a planted fault') }
  const { app, post } = open({ failure }, { logger })
  const planted = { input: 'planted words', metadata: { planted: 'planted' }, instructions: 'planted', user: 'planted' }
  await post(planted)
  await post({ ...planted, stream: true })
  await post({ ...planted, background: true })
  await app.inject('/v1/responses/resp_planted?stream=planted')
  await app.close()
  expect(lines.length).toBeGreaterThan(3)
  const told = lines.join('\n').replaceAll('/v1/responses/resp_planted', '')
  expect(told).not.toContain('planted')
})
