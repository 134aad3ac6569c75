import { RawJson } from '@octavo/core'
import { messagesRequestSchema } from '@octavo/sdk/protocol'
import { describe, expect, it } from 'vitest'
import { JsonSource } from '../json-source.ts'
import { messageToGenerateRequest } from './messages.ts'

const served = {
  id: 'm',
  root: 'm',
  created: 0,
  maxModelLen: 100,
  hasChatTemplate: true,
  marksThinking: true,
  tasks: [],
  pooling: null,
}
const context = { engineRequestId: 'r', model: 'm', cacheSalt: null, served }

function convert(fields: object, { marksThinking = true } = {}) {
  const text = JSON.stringify({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'a' }], ...fields })
  const body = messagesRequestSchema.parse(JSON.parse(text))
  const request = messageToGenerateRequest(
    body,
    { ...context, served: { ...served, marksThinking } },
    new JsonSource(text),
  )
  if (request.prompt.type !== 'chat') throw new Error('no chat')
  return { ...request, prompt: request.prompt }
}

const messagesOf = (fields: object) => convert(fields).prompt.messages
const text = (value: string) => ({ type: 'text', text: value, cache_control: { type: 'ephemeral' } })
const call = (id: string, input: object = {}) => ({ type: 'tool_use', id, name: 'get', input })
const result = (id: string, content?: unknown, more: object = {}) => ({
  type: 'tool_result',
  tool_use_id: id,
  content,
  ...more,
})

describe('messages for the chat template', () => {
  it('have the system prompt first, without notes to those who bill', () => {
    expect(messagesOf({ system: 'be good' })[0]).toEqual({ role: 'system', content: 'be good' })
    const system = [text('x-anthropic-billing-header: cch=1'), text('be good'), text('be brief')]
    expect(messagesOf({ system })[0]).toEqual({ role: 'system', content: 'be good\nbe brief' })
    expect(messagesOf({ system: '' })).toHaveLength(1)
    const messages = [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'a' },
    ]
    expect(messagesOf({ system: 'be good', messages })).toEqual([
      { role: 'system', content: 'be good\nbe brief' },
      { role: 'user', content: 'a' },
    ])
  })

  it('have thinking, calls and their results in OpenAI’s form', () => {
    const messages = [
      { role: 'user', content: [text('a'), text('b')] },
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 's' },
          { type: 'redacted_thinking', data: 'x' },
          text('I look'),
          call('1', { city: 'Oslo' }),
          call('2'),
        ],
      },
      { role: 'user', content: [result('1', 'sunny'), text('and?'), result('2', [text('x'), text('y')])] },
      { role: 'assistant', content: [call('3')] },
      { role: 'user', content: [result('3')] },
    ]
    const ofCall = (id: string, input = '{}') => ({ id, type: 'function', function: { name: 'get', arguments: input } })
    const part = (value: string) => ({ type: 'text', text: value })
    expect(messagesOf({ messages })).toEqual([
      { role: 'user', content: [part('a'), part('b')] },
      {
        role: 'assistant',
        reasoning: 'hm',
        content: 'I look',
        tool_calls: [ofCall('1', '{"city":"Oslo"}'), ofCall('2')],
      },
      { role: 'tool', tool_call_id: '1', content: 'sunny' },
      { role: 'tool', tool_call_id: '2', content: 'x\ny' },
      { role: 'user', content: 'and?' },
      { role: 'assistant', content: null, tool_calls: [ofCall('3')] },
      { role: 'tool', tool_call_id: '3', content: '' },
    ])
  })

  it('say that a call has failed', () => {
    const messages = [
      {
        role: 'user',
        content: [
          result('1', 'no such city', { is_error: true }),
          result('2', 'Error: no', { is_error: true }),
          result('3', '<error>no</error>', { is_error: true }),
          result('4', undefined, { is_error: true }),
          result('5', 'fine', { is_error: false }),
        ],
      },
    ]
    expect(messagesOf({ messages }).map(({ content }) => content)).toEqual([
      'Error: no such city',
      'Error: no',
      '<error>no</error>',
      'Error: ',
      'fine',
    ])
  })

  it('tell system texts of the middle within the turns of the user', () => {
    const [user, assistant, system] = ['user', 'assistant', 'system'].map((role) => (content: unknown) => ({
      role,
      content,
    })) as [(content: unknown) => object, (content: unknown) => object, (content: unknown) => object]
    const contentsOf = (...messages: object[]) => messagesOf({ messages }).map(({ role, content }) => [role, content])
    const part = (value: string) => ({ type: 'text', text: value })
    expect(contentsOf(user('a'), system('s'), assistant('b'), user('c'))).toEqual([
      ['user', [part('a'), part('s')]],
      ['assistant', 'b'],
      ['user', 'c'],
    ])
    expect(contentsOf(user('a'), assistant([call('1')]), user([result('1', 'x')]), system([text('s')]))).toEqual([
      ['user', 'a'],
      ['assistant', null],
      ['tool', 'x\ns'],
    ])
    expect(contentsOf(user('a'), assistant('b'), system('s'), system('t'), user('c'))).toEqual([
      ['user', 'a'],
      ['assistant', 'b'],
      ['user', [part('s'), part('t'), part('c')]],
    ])
    expect(contentsOf(user('a'), assistant('b'), system('s'))).toEqual([
      ['user', 'a'],
      ['assistant', 'b'],
      ['user', 's'],
    ])
    expect(contentsOf(user('a'), assistant('b'), system('s'), assistant('c'))).toEqual([
      ['user', 'a'],
      ['assistant', 'b'],
      ['user', 's'],
      ['assistant', 'c'],
    ])
  })

  it('take Claude Code’s roles', () => {
    expect(
      messagesOf({
        messages: [
          { role: 'ctx', content: 'a' },
          { role: 'msg', content: [text('b')] },
        ],
      }),
    ).toEqual([
      { role: 'user', content: 'a' },
      { role: 'user', content: 'b' },
    ])
  })

  it('keep numbers of inputs and schemas as they were written', () => {
    const body = `{"model": "m", "max_tokens": 1, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content":
      [{"type": "text", "text": "t"}, {"type": "tool_use", "id": "1", "name": "get", "input": {"x": 1.0, "2": 1, "1": 2}}]},
      {"role": "user", "content": "b"}], "tools": [{"name": "get", "description": "d", "strict": true, "input_schema": {"x": 1.0}}],
      "chat_template_kwargs": {"y": 2.0}, "output_format": {"type": "json_schema", "schema": {"z": 3.0}}}`
    const request = messageToGenerateRequest(
      messagesRequestSchema.parse(JSON.parse(body)),
      context,
      new JsonSource(body),
    )
    expect(request.prompt).toMatchObject({
      messages: [{}, { tool_calls: [{ function: { arguments: '{"x": 1.0, "2": 1, "1": 2}' } }] }, {}],
      tools:
        '[{"type": "function", "function": {"name": "get", "description": "d", "parameters": {"x": 1.0}, "strict": true}}]',
      chatTemplateKwargs: { y: new RawJson('2.0') },
    })
    expect(request.params.structuredOutput).toEqual({ type: 'json', schema: '{"z": 3.0}' })
  })
})

describe('the request for the engine', () => {
  it('continues what the assistant has begun to say', () => {
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'The answer is' },
    ]
    expect(convert({ messages }).prompt).toMatchObject({ continueFinalMessage: true, addGenerationPrompt: false })
    expect(convert({}).prompt).toMatchObject({ continueFinalMessage: false, addGenerationPrompt: true })
  })

  it.each([
    [{ type: 'auto' }, 'auto', true],
    [{ type: 'any', disable_parallel_tool_use: true }, 'required', false],
    [{ type: 'tool', name: 'get' }, { name: 'get' }, true],
    [undefined, null, true],
  ])('chooses tools: %j', (choice, toolChoice, parallelToolCalls) => {
    const tools = [{ name: 'get', input_schema: { type: 'object' } }]
    expect(convert({ tools, tool_choice: choice }).prompt).toMatchObject({ toolChoice, parallelToolCalls })
    expect(convert({ tools, tool_choice: { type: 'none' } }).prompt).toMatchObject({ toolChoice: null, tools: null })
  })

  it.each([
    [undefined, {}, undefined],
    [{ type: 'enabled', budget_tokens: 7 }, { enable_thinking: true }, 7],
    [{ type: 'adaptive' }, { enable_thinking: true }, undefined],
    [{ type: 'disabled' }, { enable_thinking: false }, 0],
  ])('thinks: %j', (thinking, kwargs, budget) => {
    const request = convert({ thinking })
    expect([request.prompt.chatTemplateKwargs, request.params.thinkingTokenBudget]).toEqual([kwargs, budget])
    expect(convert({ thinking }, { marksThinking: false }).params.thinkingTokenBudget).toBeUndefined()
  })

  it('has the rest', () => {
    const request = convert({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 3,
      stop_sequences: ['x'],
      metadata: { user_id: 'u' },
      service_tier: 'auto',
      output_config: { effort: 'high', format: { type: 'json_schema', schema: { type: 'object' } } },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      chat_template_kwargs: { a: 'b' },
      priority: 3,
      seed: 5,
      min_p: 0.1,
      cache_control: { type: 'ephemeral' },
    })
    expect(request).toMatchObject({ model: 'm', priority: 3, maxTokensMustFit: false, outputKind: 'parts' })
    expect(request.params).toMatchObject({
      maxTokens: 9,
      temperature: 0.5,
      topP: 0.9,
      topK: 3,
      minP: 0.1,
      seed: 5,
      stop: ['x'],
      structuredOutput: { type: 'json', schema: '{"type":"object"}' },
    })
    expect(request.prompt.chatTemplateKwargs).toEqual({ reasoning_effort: 'high', a: 'b' })
    expect(convert({ structured_outputs: { regex: 'a' } }).params.structuredOutput).toEqual({
      type: 'regex',
      pattern: 'a',
    })
  })
})
