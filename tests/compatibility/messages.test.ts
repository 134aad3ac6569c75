/**
 * What vLLM's own tests ask of /v1/messages (tests/entrypoints/anthropic: test_messages, test_usage_policy,
 * test_cache_accounting, test_system_hoist, test_content_block_validation, test_stream_error), each `it` one of theirs in
 * our words, against octavo-tiny.
 */
import Anthropic, { BadRequestError, NotFoundError } from '@anthropic-ai/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { toyQuestions, toyTools } from '../clients/toy-world.ts'
import { collect } from './ask.ts'

type Params = Anthropic.MessageCreateParamsNonStreaming

const [{ question, tool, input, answer }] = toyQuestions
const tools = Object.entries(toyTools).map(([name, { description, input: schema }]) => ({
  name,
  description,
  input_schema: z.toJSONSchema(schema, { target: 'draft-7' }),
}))

describe('messages', () => {
  let server: TinyServer
  let client: Anthropic
  beforeAll(async () => {
    server = await startTinyServer()
    client = new Anthropic({ baseURL: server.origin, apiKey: 'none', maxRetries: 0 })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const params = (content: unknown, more: object = {}): Params =>
    ({ model: server.model, max_tokens: 200, temperature: 0, messages: [{ role: 'user', content }], ...more }) as Params
  const ask = (content: unknown, more?: object) => client.messages.create(params(content, more))
  const streamed = async (content: unknown, more?: object) =>
    collect(await client.messages.create({ ...params(content, more), stream: true }))

  it('a message', async () => {
    const { role, stop_reason: reason, content, usage } = await ask('Hello!')
    expect([role, reason]).toEqual(['assistant', 'end_turn'])
    expect(content).toMatchObject([{ type: 'text', text: expect.stringMatching(/./) }])
    expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).toBeGreaterThan(0)
    expect(usage.output_tokens).toBeGreaterThan(0)
  })

  it.each([
    ['a text', 'You are a helpful assistant.'],
    ['blocks', [{ type: 'text', text: 'You are a helpful assistant.' }]],
  ])('a system message: %s', async (_, system) => {
    const { role, stop_reason: reason } = await ask('Hello!', { system })
    expect([role, reason]).toEqual(['assistant', 'end_turn'])
  })

  it('streamed: the same text, with the events in their order', async () => {
    const events = await streamed('Hello!')
    const { content } = await ask('Hello!')
    const text = events
      .map((event) =>
        event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
      )
      .join('')
    expect(content).toMatchObject([{ text }])
    const types = events.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1])
    expect(types).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
  })

  it('a call', async () => {
    const { stop_reason: reason, content } = await ask(question, { tools })
    expect(reason).toBe('tool_use')
    expect(content).toMatchObject([{ type: 'tool_use', name: tool, input, id: expect.stringMatching(/./) }])
  })

  it('a call, streamed', async () => {
    const events = await streamed(question, { tools })
    const json = events
      .map((event) =>
        event.type === 'content_block_delta' && event.delta.type === 'input_json_delta' ? event.delta.partial_json : '',
      )
      .join('')
    expect(JSON.parse(json)).toEqual(input)
    expect(events).toContainEqual(
      expect.objectContaining({
        type: 'message_delta',
        delta: expect.objectContaining({ stop_reason: 'tool_use' }) as unknown,
      }),
    )
  })

  it('the result of a call', async () => {
    const { content } = await ask(question, { tools })
    const call = content[0] as Anthropic.ToolUseBlock
    const result = { type: 'tool_result', tool_use_id: call.id, content: toyTools[tool].execute(input) }
    const messages = [
      { role: 'user', content: question },
      { role: 'assistant', content },
      { role: 'user', content: [result] },
    ]
    expect((await ask('', { messages, tools })).content).toMatchObject([{ text: answer }])
  })

  it.each([
    ['any', { type: 'any' }],
    ['a named one', { type: 'tool', name: tool }],
  ])('tool_choice: %s', async (_, choice) => {
    const { content } = await ask('Hello!', { tools, tool_choice: choice })
    expect(content.filter(({ type }) => type === 'tool_use').length).toBeGreaterThan(0)
  })

  it('usage: what was in the cache is counted apart', async () => {
    const long = 'Tell me about the river and the sun and the moon and the hill. '.repeat(8)
    const first = await ask(long, { max_tokens: 1 })
    const second = await ask(long, { max_tokens: 1 })
    expect(first.usage.cache_read_input_tokens).toBe(0)
    expect(second.usage.cache_read_input_tokens).toBeGreaterThan(0)
    expect(second.usage.input_tokens + second.usage.cache_read_input_tokens!).toBe(first.usage.input_tokens)
  })

  it('system messages among the others are taken', async () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello!' },
    ]
    expect((await ask('', { messages })).stop_reason).toBe('end_turn')
  })

  it('stop_sequences', async () => {
    const { content } = await ask('Hello!')
    const { text } = content[0] as Anthropic.TextBlock
    const stop = text.slice(3, 6)
    expect(await ask('Hello!', { stop_sequences: [stop] })).toMatchObject({
      stop_reason: 'stop_sequence',
      stop_sequence: stop,
      content: [{ text: text.slice(0, 3) }],
    })
  })

  it('max_tokens', async () => {
    expect((await ask('Hello!', { max_tokens: 2 })).stop_reason).toBe('max_tokens')
  })

  it.each([
    ['of an unknown type', [{ type: 'nothing' }]],
    ['an image', [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'aGk=' } }]],
    ['without its text', [{ type: 'text' }]],
    ['a result without its call', [{ type: 'tool_result', content: 'a' }]],
  ])('a block that is wrong is refused: %s', async (_, blocks) => {
    await expect(ask(blocks)).rejects.toThrow(BadRequestError)
  })

  it('errors are in the API’s words', async () => {
    await expect(ask('a', { model: 'no-such-model' })).rejects.toThrow(NotFoundError)
    const error = await ask('a', { max_tokens: 0 }).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ status: 400, error: { type: 'error', error: { type: 'invalid_request_error' } } })
    await expect(streamed('a', { max_tokens: 0 })).rejects.toThrow(BadRequestError)
  })

  it('count_tokens', async () => {
    const { input_tokens: count } = await client.messages.countTokens({
      model: server.model,
      messages: [{ role: 'user', content: 'How many tokens are here?' }],
    })
    const { usage } = await ask('How many tokens are here?', { max_tokens: 1 })
    expect(count).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0))
  })
})
