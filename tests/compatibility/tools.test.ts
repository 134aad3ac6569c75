/**
 * What vLLM's own tests ask of tools and reasoning (tests/tool_use: test_chat_completions, test_tool_calls,
 * test_parallel_tool_calls, test_chat_completion_request_validations; chat_completion/test_completion_with_function_calling,
 * test_include_reasoning, test_tool_choice_null), each `it` one of theirs in our words, against octavo-tiny.
 */
import OpenAI, { BadRequestError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { smallTalk, toyQuestions, toyTools } from '../clients/toy-world.ts'
import { collect } from './ask.ts'

type Params = OpenAI.ChatCompletionCreateParamsNonStreaming
type Message = OpenAI.ChatCompletionMessage & {
  readonly reasoning?: string | null
  readonly reasoning_content?: string
}
type Delta = OpenAI.ChatCompletionChunk.Choice.Delta & { readonly reasoning?: string }
interface Call {
  id: string
  name: string
  arguments: string
}

const tools = Object.entries(toyTools).map(([name, { description, input }]) => ({
  type: 'function',
  function: { name, description, parameters: z.toJSONSchema(input, { target: 'draft-7' }) },
}))
const [{ question, tool, input, answer }] = toyQuestions
const named = { type: 'function', function: { name: tool } }

function clientOf(server: TinyServer) {
  const client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })
  const params = (content: string, more: object): Params =>
    ({
      model: server.model,
      messages: [{ role: 'user', content }],
      max_completion_tokens: 150,
      temperature: 0,
      ...more,
    }) as Params
  return {
    whole: async (content: string, more: object = {}) => {
      const { choices } = await client.chat.completions.create(params(content, more))
      return { ...choices[0]!, message: choices[0]!.message as Message }
    },
    /** With what every chunk must keep to. */
    streamed: async (content: string, more: object = {}) => {
      const stream = await client.chat.completions.create({ ...params(content, more), stream: true })
      const calls: Call[] = []
      const told = { content: '', reasoning: '', calls, roles: [] as string[], reasons: [] as string[] }
      for (const { choices } of await collect(stream)) {
        expect(choices).toMatchObject([{ index: 0 }])
        const { finish_reason: reason } = choices[0]!
        const delta = choices[0]!.delta as Delta
        told.content += delta.content ?? ''
        told.reasoning += delta.reasoning ?? ''
        if (delta.role !== undefined) told.roles.push(delta.role)
        if (reason !== null) told.reasons.push(reason)
        for (const { index, id, function: part } of delta.tool_calls ?? []) {
          // Id and name come once, and whole.
          if (calls[index] === undefined) calls[index] = { id: id!, name: part!.name!, arguments: '' }
          else expect([id ?? null, part?.name ?? null]).toEqual([null, null])
          calls[index].arguments += part?.arguments ?? ''
        }
      }
      return told
    },
  }
}

function callsOf(message: Message): Call[] {
  return (message.tool_calls ?? []).map((call) => {
    if (call.type !== 'function') throw new Error(call.type)
    return { id: call.id, ...call.function }
  })
}

describe('tools', () => {
  let server: TinyServer
  let chat: ReturnType<typeof clientOf>
  beforeAll(async () => {
    server = await startTinyServer()
    chat = clientOf(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it.each([
    ['none', {}],
    ['some', { tools }],
  ])('where nothing is to be called there is text, streamed the same; with tools: %s', async (_, more) => {
    const { message, finish_reason: reason } = await chat.whole(smallTalk, more)
    expect(message.content!.length).toBeGreaterThan(0)
    expect([reason, callsOf(message)]).toEqual(['stop', []])
    const told = await chat.streamed(smallTalk, more)
    expect(told).toMatchObject({ content: message.content, calls: [], roles: ['assistant'], reasons: [reason] })
  })

  it('a call has an id, a name and arguments, streamed the same', async () => {
    const { message, finish_reason: reason } = await chat.whole(question, { tools })
    const [call, ...others] = callsOf(message)
    expect([reason, message.role, others]).toEqual(['tool_calls', 'assistant', []])
    expect(call!.id.length).toBeGreaterThanOrEqual(9)
    expect(call!.name).toBe(tool)
    expect(JSON.parse(call!.arguments)).toEqual(input)
    const told = await chat.streamed(question, { tools })
    expect(told).toMatchObject({ roles: ['assistant'], reasons: ['tool_calls'] })
    expect(told.calls).toMatchObject([{ name: tool, arguments: call!.arguments }])
    expect(told.calls[0]!.id.length).toBeGreaterThanOrEqual(9)
  })

  it('results of tools make an answer, streamed the same', async () => {
    const { message } = await chat.whole(question, { tools })
    const result = toyTools[tool].execute(input)
    const messages = [
      { role: 'user', content: question },
      message,
      { role: 'tool', tool_call_id: message.tool_calls![0]!.id, content: result },
    ]
    const last = await chat.whole('', { messages, tools })
    expect([last.message.content, last.finish_reason, callsOf(last.message)]).toEqual([answer, 'stop', []])
    expect(await chat.streamed('', { messages, tools })).toMatchObject({
      content: answer,
      calls: [],
      reasons: ['stop'],
    })
  })

  it('results of several calls of one turn are taken, in the order of their ids', async () => {
    const calls = ['Oslo', 'Lima'].map((city, index) => ({
      id: `call-${index}-abcdef`,
      type: 'function',
      function: { name: 'get_weather', arguments: JSON.stringify({ city }) },
    }))
    const results = calls.map(({ id, function: { arguments: text } }) => ({
      role: 'tool',
      tool_call_id: id,
      content: toyTools.get_weather.execute(JSON.parse(text) as { city: string }),
    }))
    const messages = [
      { role: 'user', content: 'What is the weather in Oslo and in Lima?' },
      { role: 'assistant', tool_calls: calls },
      ...results,
    ]
    const { message, finish_reason: reason } = await chat.whole('', { messages, tools })
    expect(reason).toBe('stop')
    expect(message.content!.length).toBeGreaterThan(0)
  })

  it('parallel_tool_calls: false: one call at most', async () => {
    const both = 'What is the weather in Oslo? What is the weather in Lima?'
    const told = await chat.streamed(both, { tools, tool_choice: 'required', parallel_tool_calls: false })
    expect(told.calls).toHaveLength(1)
  })

  it.each([
    ['auto', 'auto'],
    ['required', 'required'],
    ['a named tool', named],
  ])('tool_choice: %s', async (_, choice) => {
    const whole = callsOf((await chat.whole(question, { tools, tool_choice: choice })).message)
    const { calls } = await chat.streamed(question, { tools, tool_choice: choice })
    for (const made of [whole, calls]) {
      expect(made).toMatchObject([{ name: tool }])
      expect(JSON.parse(made[0]!.arguments)).toEqual(input)
    }
  })

  it('a named tool is called whatever was said, and its arguments fit', async () => {
    const { message } = await chat.whole(smallTalk, { tools, tool_choice: named })
    expect(callsOf(message)).toMatchObject([{ name: tool }])
    expect(JSON.parse(callsOf(message)[0]!.arguments)).toEqual({ city: expect.any(String) })
    const told = await chat.streamed(smallTalk, { tools, tool_choice: named })
    expect([told.content, told.reasons.length]).toEqual(['', 1])
    expect(JSON.parse(told.calls[0]!.arguments)).toEqual({ city: expect.any(String) })
  })

  it('tool_choice: none: no call', async () => {
    const { message } = await chat.whole(question, { tools, tool_choice: 'none' })
    expect(callsOf(message)).toEqual([])
  })

  it.each([
    ['a name without tools', { tool_choice: named }],
    ['a name that none of the tools has', { tools, tool_choice: { type: 'function', function: { name: 'nobody' } } }],
    ['an empty choice', { tools, tool_choice: {} }],
    ['auto without tools', { tool_choice: 'auto' }],
    ['required without tools', { tool_choice: 'required' }],
    ['required with tools: null', { tool_choice: 'required', tools: null }],
  ])('%s is refused', async (_, more) => {
    await expect(chat.whole(question, more)).rejects.toThrow(/tool_choice/)
  })

  it('tool_choice: null is as none said', async () => {
    expect(callsOf((await chat.whole(question, { tools, tool_choice: null })).message)).toMatchObject([{ name: tool }])
    expect((await chat.whole(smallTalk, { tools: null, tool_choice: null })).message.content).toEqual(
      expect.any(String),
    )
  })

  it.each([
    ['required', 'required'],
    ['a named tool', named],
  ])('max_completion_tokens: 1 ends a forced call as length: %s', async (_, choice) => {
    const { message, finish_reason: reason } = await chat.whole(question, {
      tools,
      tool_choice: choice,
      max_completion_tokens: 1,
    })
    expect(reason).toBe('length')
    expect(message.content ?? '').toBe('')
  })

  it.each(['{}', ''])('a call that was sent back with the arguments %j is taken', async (text) => {
    const call = { id: 'call-123456', type: 'function', function: { name: 'get_current_time', arguments: text } }
    const messages = [
      { role: 'user', content: 'What time is it?' },
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: call.id, content: '2026-01-01T12:00:00' },
    ]
    expect((await chat.whole('', { messages })).message.content!.length).toBeGreaterThan(0)
  })

  it('a constraint beside a forced call is refused, beside auto it is taken', async () => {
    const constraint = { structured_outputs: { json: { type: 'object' } }, tools }
    await expect(chat.whole(question, { ...constraint, tool_choice: named })).rejects.toThrow(/structured_outputs/)
    const { message } = await chat.whole(question, { ...constraint, tool_choice: 'auto', max_completion_tokens: 20 })
    expect(message.role).toBe('assistant')
  })

  it('a tool without a name, of an unknown type, or twice is refused', async () => {
    for (const wrong of [[{ type: 'function', function: {} }], [{ type: 'web_search' }], [tools[0], tools[0]]])
      await expect(chat.whole(question, { tools: wrong })).rejects.toThrow(BadRequestError)
  })

  it('a schema of the parameters with $defs is taken, and stays as it was', async () => {
    const parameters = {
      type: 'object',
      properties: { unit: { $ref: '#/$defs/Unit' } },
      required: ['unit'],
      additionalProperties: false,
      $defs: { Unit: { type: 'string', enum: ['celsius', 'fahrenheit'] } },
    }
    const withDefs = [{ type: 'function', function: { name: 'set_unit', parameters } }]
    const { message } = await chat.whole('Use celsius.', {
      tools: withDefs,
      tool_choice: { type: 'function', function: { name: 'set_unit' } },
    })
    expect(['celsius', 'fahrenheit']).toContain((JSON.parse(callsOf(message)[0]!.arguments) as { unit: string }).unit)
  })
})

describe('reasoning', () => {
  let server: TinyServer
  let chat: ReturnType<typeof clientOf>
  beforeAll(async () => {
    server = await startTinyServer({ thinks: true })
    chat = clientOf(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  // It was not trained to end its thoughts.
  const budget = { thinking_token_budget: 8 }

  it.each([true, false])('enable_thinking: %j', async (isThinking) => {
    const more = { ...budget, chat_template_kwargs: { enable_thinking: isThinking } }
    const { message } = await chat.whole(smallTalk, more)
    expect((message.reasoning ?? '') !== '').toBe(isThinking)
    const told = await chat.streamed(smallTalk, more)
    expect(told.reasoning).toBe(message.reasoning ?? '')
    expect(told.content).toBe(message.content ?? '')
  })

  it('include_reasoning: false leaves it out', async () => {
    const { message } = await chat.whole(smallTalk, { ...budget, include_reasoning: false })
    expect(message.reasoning ?? null).toBeNull()
    expect((await chat.streamed(smallTalk, { ...budget, include_reasoning: false })).reasoning).toBe('')
  })

  it('reasoning and its older name are taken back', async () => {
    for (const field of ['reasoning', 'reasoning_content']) {
      const messages = [
        { role: 'user', content: 'What is 2+2?' },
        { role: 'assistant', content: '4', [field]: '2+2 equals 4' },
        { role: 'user', content: smallTalk },
      ]
      expect((await chat.whole('', { messages, ...budget })).message.role).toBe('assistant')
    }
  })

  it.each([-2, 1.5, 'a'])('a thinking_token_budget of %j is refused', async (wrong) => {
    await expect(chat.whole(smallTalk, { thinking_token_budget: wrong })).rejects.toThrow(/thinking_token_budget/)
  })
})
