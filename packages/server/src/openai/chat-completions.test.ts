import { setTimeout as sleep } from 'node:timers/promises'
import { InvalidRequestError } from '@octavo/core'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import type { FakeEngineOptions } from '../testing/fake-engine.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { readEvents } from '../testing/read-events.ts'

async function ask(body: object, options: FakeEngineOptions = {}) {
  const engine = new FakeEngine(options)
  const app = createApp({ engine, version: '0' })
  const response = await app.inject({
    method: 'POST',
    url: '/v1/chat/completions',
    headers: { 'x-request-id': 'r' },
    payload: body,
  })
  return { engine, response }
}

const messages = [{ role: 'user', content: 'one two three' }]

describe('a complete answer', () => {
  it('has choices, reasons and usage', async () => {
    const { response } = await ask({ messages, max_tokens: 4 })
    expect(response.json()).toEqual({
      id: 'chatcmpl-r',
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'fake',
      choices: [
        {
          index: 0,
          message: {
            role: 'assistant',
            content: 'one two threeone',
            refusal: null,
            annotations: null,
            audio: null,
            function_call: null,
            reasoning: null,
          },
          logprobs: null,
          finish_reason: 'length',
          stop_reason: null,
          token_ids: null,
        },
      ],
      service_tier: null,
      system_fingerprint: null,
      prompt_logprobs: null,
      prompt_token_ids: null,
      kv_transfer_params: null,
      usage: { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7, prompt_tokens_details: { cached_tokens: 0 } },
    })
  })

  it('goes on to the context without max_tokens', async () => {
    const { response } = await ask({ messages }, { maxModelLen: 20 })
    expect(response.json()).toMatchObject({ choices: [{ finish_reason: 'length' }], usage: { completion_tokens: 17 } })
  })

  it('names the stop string that ended it, and no reason for end-of-sequence', async () => {
    const stopped = await ask({ messages, stop: ' two' })
    expect(stopped.response.json().choices[0]).toMatchObject({
      finish_reason: 'stop',
      stop_reason: ' two',
      message: { content: 'one' },
    })
    const ended = await ask({ messages: [{ role: 'user', content: 'one END' }] })
    expect(ended.response.json().choices[0]).toMatchObject({
      finish_reason: 'stop',
      stop_reason: null,
      message: { content: 'one' },
    })
  })

  it('has logprobs with bytes and alternatives, minus infinity clamped', async () => {
    const { response } = await ask({
      messages: [{ role: 'user', content: 'a b c d é' }],
      max_tokens: 1,
      logprobs: true,
      top_logprobs: 5,
    })
    const [entry] = response.json().choices[0].logprobs.content
    expect(entry).toMatchObject({ token: 'a', logprob: Math.log(0.5), bytes: [97] })
    expect(entry.top_logprobs).toHaveLength(5)
    expect(entry.top_logprobs[4]).toEqual({ token: ' é', logprob: -9999, bytes: [32, 0xc3, 0xa9] })
  })

  it('has token ids where asked for', async () => {
    const { response } = await ask({
      messages,
      max_tokens: 2,
      return_token_ids: true,
      return_tokens_as_token_ids: true,
      logprobs: true,
      prompt_logprobs: 1,
    })
    const body = response.json()
    expect(body).toMatchObject({ prompt_token_ids: [0, 1, 2], choices: [{ token_ids: [0, 1] }] })
    expect(body.choices[0].logprobs.content.map(({ token }: { token: string }) => token)).toEqual([
      'token_id:0',
      'token_id:1',
    ])
    expect(body.prompt_logprobs).toEqual([
      null,
      { 1: { logprob: Math.log(0.5), rank: 1, decoded_token: ' two' } },
      { 2: { logprob: Math.log(0.5), rank: 1, decoded_token: ' three' } },
    ])
  })

  it("begins with the assistant's own last message with echo", async () => {
    const { response } = await ask({
      messages: [...messages, { role: 'assistant', content: 'So: ' }],
      max_tokens: 1,
      echo: true,
      continue_final_message: true,
    })
    expect(response.json().choices[0].message).toMatchObject({ role: 'assistant', content: 'So: one' })
  })
})

describe('a streamed answer', () => {
  it('is the role, the deltas, the reason, the usage and [DONE]', async () => {
    const { response } = await ask({ messages, max_tokens: 3, stream: true, stream_options: { include_usage: true } })
    expect(response.statusCode).toBe(200)
    expect(response.headers).toMatchObject({ 'content-type': 'text/event-stream; charset=utf-8', 'x-request-id': 'r' })
    const frame = { id: 'chatcmpl-r', object: 'chat.completion.chunk', created: expect.any(Number), model: 'fake' }
    const choice = { index: 0, logprobs: null, finish_reason: null }
    expect(readEvents(response.body)).toEqual([
      { ...frame, choices: [{ ...choice, delta: { role: 'assistant', content: '' } }] },
      { ...frame, choices: [{ ...choice, delta: { content: 'one' }, token_ids: null }] },
      { ...frame, choices: [{ ...choice, delta: { content: ' two' }, token_ids: null }] },
      {
        ...frame,
        choices: [
          { ...choice, delta: { content: ' three' }, finish_reason: 'length', stop_reason: null, token_ids: null },
        ],
      },
      {
        ...frame,
        choices: [],
        usage: { prompt_tokens: 3, completion_tokens: 3, total_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
      },
      '[DONE]',
    ])
  })

  it('has running usage on every chunk with continuous_usage_stats', async () => {
    const { response } = await ask({
      messages,
      max_tokens: 2,
      stream: true,
      stream_options: { include_usage: true, continuous_usage_stats: true },
    })
    const events = readEvents(response.body).slice(0, -1) as { usage: { completion_tokens: number } }[]
    expect(events.map(({ usage }) => usage.completion_tokens)).toEqual([0, 1, 2, 2])
  })

  it('has no usage unless asked for', async () => {
    const { response } = await ask({ messages, max_tokens: 2, stream: true })
    expect(response.body).not.toContain('usage')
  })

  it('opens every choice of n before the first delta, and closes each once', async () => {
    const { response } = await ask({ messages, n: 3, max_tokens: 2, stream: true, seed: 0 })
    const choices = (
      readEvents(response.body).slice(0, -1) as {
        choices: { index: number; delta: { role?: string; content: string }; finish_reason: string | null }[]
      }[]
    ).flatMap((event) => event.choices)
    expect(choices.slice(0, 3).map(({ index, delta }) => [index, delta.role])).toEqual([
      [0, 'assistant'],
      [1, 'assistant'],
      [2, 'assistant'],
    ])
    const texts = ['', '', '']
    for (const { index, delta } of choices) texts[index] += delta.content
    expect(texts).toEqual(['one two', ' two three', ' threeone'])
    expect(choices.filter(({ finish_reason: reason }) => reason !== null)).toHaveLength(3)
  })

  it('sends nothing for text that may begin a stop string, and nothing of the stop string', async () => {
    const { response } = await ask({
      messages: [{ role: 'user', content: 'ab cd ef gh' }],
      stop: ['ef g'],
      stream: true,
    })
    const choices = (
      readEvents(response.body).slice(1, -1) as {
        choices: { delta: { content: string }; finish_reason: string | null; stop_reason?: string }[]
      }[]
    ).flatMap((event) => event.choices)
    expect(choices.map(({ delta }) => delta.content).join('')).toBe('ab cd ')
    expect(choices.at(-1)).toMatchObject({ finish_reason: 'stop', stop_reason: 'ef g' })
    expect(choices.slice(0, -1).every(({ delta }) => delta.content !== '')).toBe(true)
  })

  it('carries logprobs and token ids with their deltas', async () => {
    const { response } = await ask({
      messages,
      max_tokens: 2,
      stream: true,
      logprobs: true,
      top_logprobs: 1,
      return_token_ids: true,
    })
    const [opening, first, second] = readEvents(response.body)
    expect(opening).toMatchObject({ prompt_token_ids: [0, 1, 2] })
    expect(first).toMatchObject({ choices: [{ token_ids: [0], logprobs: { content: [{ token: 'one' }] } }] })
    expect(second).toMatchObject({ choices: [{ token_ids: [1], logprobs: { content: [{ token: ' two' }] } }] })
    expect(second).not.toHaveProperty('prompt_token_ids')
  })

  it('answers a wrong request with a real status', async () => {
    const { response } = await ask({ messages: [{ role: 'user', content: 'a '.repeat(300) }], stream: true })
    expect(response.statusCode).toBe(400)
    expect(response.json().error.code).toBe('context_length_exceeded')
  })

  it('tells a failure in mid-stream as an event before [DONE]', async () => {
    const { response } = await ask({ messages, stream: true }, { failure: { atToken: 2, error: new Error('inside') } })
    expect(response.statusCode).toBe(200)
    const events = readEvents(response.body)
    expect(events.at(-1)).toBe('[DONE]')
    expect(events.at(-2)).toMatchObject({ error: { type: 'InternalServerError', code: 500, param: null } })
    expect(response.body).not.toContain('inside')
  })
})

describe('tools', () => {
  const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' }, extra: 1 } }]

  it('reach the engine with the choice among them', async () => {
    const promptOf = async (body: object) =>
      (await ask({ messages, tools, max_tokens: 1, ...body })).engine.seen[0]?.request.prompt
    const named = { type: 'function', function: { name: 'look' } }
    expect(await promptOf({})).toMatchObject({ toolChoice: null, parallelToolCalls: true, parseOutput: true })
    expect(await promptOf({ tool_choice: 'required' })).toMatchObject({ toolChoice: 'required' })
    expect(await promptOf({ tool_choice: named })).toMatchObject({ toolChoice: { name: 'look' } })
    const allowed = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named] } }
    expect(await promptOf({ tool_choice: allowed })).toMatchObject({
      toolChoice: { allowed: ['look'], mode: 'required' },
    })
    expect(await promptOf({ parallel_tool_calls: false })).toMatchObject({ parallelToolCalls: false })
  })

  it('of the old form in a message are refused with the remedy', async () => {
    const old = { role: 'assistant', content: null, function_call: { name: 'look', arguments: '{}' } }
    const { response } = await ask({ messages: [old], max_tokens: 1 })
    expect(response.json().error).toMatchObject({
      param: 'messages.0.function_call',
      message: expect.stringMatching(/tool_calls/),
    })
  })

  it('stay out of the prompt with tool_choice none', async () => {
    const { engine } = await ask({ messages, tools, tool_choice: 'none', max_tokens: 1 })
    expect(engine.seen[0]?.request.prompt).toMatchObject({ tools: null })
  })
})

describe('a message in parts', () => {
  const tools = [{ type: 'function', function: { name: 'look' } }]
  const said = (text: string, body: object = {}) =>
    ask({ messages: [{ role: 'user', content: text }], tools, temperature: 0, ...body }, { parses: true })
  const choiceOf = async (text: string, body: object = {}) => (await said(text, body)).response.json().choices[0]
  const deltasOf = async (text: string, body: object = {}) =>
    readEvents((await said(text, { ...body, stream: true })).response.body)
      .filter((event): event is { choices: [{ delta: object; finish_reason: string | null }] } => event !== '[DONE]')
      .map(({ choices: [{ delta, finish_reason: reason }] }) => (reason === null ? delta : { ...delta, reason }))

  it('has reasoning, and calls instead of content', async () => {
    expect(await choiceOf('~think !look {"a":1} !look {} END')).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: null,
        reasoning: 'think',
        tool_calls: [
          { id: 'call-0-0', type: 'function', function: { name: 'look', arguments: '{"a":1}' } },
          { id: 'call-0-1', type: 'function', function: { name: 'look', arguments: '{}' } },
        ],
      },
    })
    const plain = await choiceOf('hello you END')
    expect(plain).toMatchObject({ finish_reason: 'stop', message: { content: 'hello you' } })
    expect(plain.message).not.toHaveProperty('tool_calls')
    expect(plain.message.reasoning).toBeNull()
    expect((await choiceOf('~think END')).message).toMatchObject({ content: null, reasoning: 'think' })
  })

  it('streams them: the first piece of a call has id, type and name', async () => {
    expect(await deltasOf('~think yes !look {"a":1} END')).toEqual([
      { role: 'assistant', content: '' },
      { reasoning: 'think' },
      { content: ' yes' },
      {
        tool_calls: [{ index: 0, id: 'call-0-0', type: 'function', function: { name: 'look', arguments: '' } }],
      },
      { tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] },
      { reason: 'tool_calls' },
    ])
  })

  it('ends by stop where the request named the tool, and by length where there is no more room', async () => {
    const named = { tool_choice: { type: 'function', function: { name: 'look' } } }
    expect((await choiceOf('!look {} END', named)).finish_reason).toBe('stop')
    expect((await deltasOf('!look {} END', named)).at(-1)).toEqual({ reason: 'stop' })
    expect((await choiceOf('!look {} END', { tool_choice: 'required' })).finish_reason).toBe('tool_calls')
    const cut = await choiceOf('!look {} END', { max_tokens: 1 })
    expect(cut).toMatchObject({
      finish_reason: 'length',
      message: { content: null, tool_calls: [{ function: { name: 'look', arguments: '' } }] },
    })
  })

  it('says the reasoning by its older name too, or not at all', async () => {
    const both = { include_reasoning_content: true }
    expect((await choiceOf('~think yes END', both)).message).toMatchObject({
      reasoning: 'think',
      reasoning_content: 'think',
      content: ' yes',
    })
    expect((await deltasOf('~think yes END', both))[1]).toEqual({ reasoning: 'think', reasoning_content: 'think' })
    const none = { include_reasoning: false, include_reasoning_content: true }
    const { message } = await choiceOf('~think yes END', none)
    expect(message).toMatchObject({ reasoning: null, content: ' yes' })
    expect(message).not.toHaveProperty('reasoning_content')
    expect(await deltasOf('~think yes END', none)).toEqual([
      { role: 'assistant', content: '' },
      { content: ' yes' },
      { content: '', reason: 'stop' },
    ])
  })

  it('tells the template of the effort, and the engine of the budget', async () => {
    const { request } = (await said('a END', { reasoning_effort: 'none', thinking_token_budget: 7 })).engine.seen[0]!
    expect(request).toMatchObject({
      prompt: { chatTemplateKwargs: { reasoning_effort: 'none', enable_thinking: false } },
      params: { thinkingTokenBudget: 7 },
    })
    const unlimited = (await said('a END', { thinking_token_budget: -1 })).engine.seen[0]!
    expect(unlimited.request.params.thinkingTokenBudget).toBeNull()
  })
})

describe('a grammar that turns out wrong', () => {
  const slow = {
    pace: () => sleep(2_300),
    failure: { atToken: 0, error: new InvalidRequestError('no', 'structuredOutput') },
  }
  const tool = { type: 'function', function: { name: 'f', strict: true } }

  it.concurrent.each([
    [{ response_format: { type: 'json_object' } }, 'response_format'],
    [{ tools: [tool] }, 'tools'],
    [{ tools: [tool], tool_choice: 'required' }, 'tools'],
  ])('is a 400, not an event of a stream, however long it took: %j', async (body, param) => {
    const { response } = await ask({ messages, stream: true, ...body }, slow)
    expect(response.statusCode).toBe(400)
    expect(response.json()).toMatchObject({ error: { param } })
  })

  it('keeps no other stream waiting', async () => {
    const { response } = await ask({ messages, stream: true }, slow)
    expect(response.statusCode).toBe(200)
    expect(readEvents(response.body)[0]).toMatchObject({ error: { code: 400 } })
  })
})
