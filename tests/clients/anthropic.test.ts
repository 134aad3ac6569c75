/** Anthropic's own client: messages whole and streamed, loops of its tool runner, structured output, counts, errors. */
import Anthropic from '@anthropic-ai/sdk'
import { betaZodTool } from '@anthropic-ai/sdk/helpers/beta/zod'
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools

/** As the client sends them. */
const tools = Object.entries(toyTools).map(([name, { description, input }]) => ({
  name,
  description,
  input_schema: z.toJSONSchema(input) as Anthropic.Tool.InputSchema,
}))

describe("Anthropic's client", () => {
  let server: TinyServer
  let client: Anthropic

  beforeAll(async () => {
    server = await startTinyServer()
    client = new Anthropic({ baseURL: server.origin, apiKey: 'none', maxRetries: 0 })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const common = { model: 'octavo-tiny', max_tokens: 200, temperature: 0 }
  const ask = (content: string): Anthropic.MessageParam[] => [{ role: 'user', content }]

  it('gets a message', async () => {
    const message = await client.messages.create({ ...common, messages: ask('What is the capital of Norway?') })
    expect(message).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      content: [{ type: 'text', text: 'The capital of Norway is Oslo.' }],
      stop_reason: 'end_turn',
    })
    expect(message._request_id).toEqual(expect.any(String))
    expect(message.usage.input_tokens).toBeGreaterThan(0)
  })

  it('streams the same, by its helper and by hand', async () => {
    const params = { ...common, messages: ask('What is the capital of Norway?') }
    const whole = await client.messages.create(params)
    const stream = client.messages.stream(params)
    const pieces: string[] = []
    stream.on('text', (piece) => pieces.push(piece))
    const final = await stream.finalMessage()
    expect(final.content).toEqual(whole.content)
    expect(final.stop_reason).toBe(whole.stop_reason)
    expect(final.usage.output_tokens).toBe(whole.usage.output_tokens)
    expect(pieces.length).toBeGreaterThan(2)
    expect(pieces.join('')).toBe(await stream.finalText())
    const types = new Set<string>()
    for await (const event of await client.messages.create({ ...params, stream: true })) types.add(event.type)
    expect([...types]).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ])
  })

  it('stops at a sequence, at the limit, and continues what was begun', async () => {
    const messages = ask('What is the capital of Norway?')
    const stopped = await client.messages.create({ ...common, messages, stop_sequences: ['Norway'] })
    expect(stopped).toMatchObject({
      stop_reason: 'stop_sequence',
      stop_sequence: 'Norway',
      content: [{ text: 'The capital of ' }],
    })
    const cut = await client.messages.create({ ...common, messages, max_tokens: 2 })
    expect(cut.stop_reason).toBe('max_tokens')
    const begun: Anthropic.MessageParam[] = [...messages, { role: 'assistant', content: 'The capital of Norway' }]
    const continued = await client.messages.create({ ...common, messages: begun })
    expect(continued.content).toMatchObject([{ type: 'text', text: ' is Oslo.' }])
    const long = client.messages.stream({ ...common, messages, max_tokens: 64_000 })
    expect((await long.finalMessage()).stop_reason).toBe('end_turn')
  })

  describe('tools', () => {
    it.each([false, true])('in a loop by hand, as coding agents have it; streamed: %s', async (isStreamed) => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const messages: Anthropic.MessageParam[] = ask(question)
        const params = { ...common, tools, messages }
        const send = () => (isStreamed ? client.messages.stream(params).finalMessage() : client.messages.create(params))
        const first = await send()
        const call = first.content.find((block) => block.type === 'tool_use')
        expect(first.stop_reason).toBe('tool_use')
        expect(call).toMatchObject({ name, input })
        messages.push({ role: 'assistant', content: first.content })
        const content = toyTools[name].execute(input as never)
        messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: call!.id, content }] })
        const last = await send()
        expect(last).toMatchObject({ stop_reason: 'end_turn', content: [{ type: 'text', text: answer }] })
      }
    })

    it.each([false, true])('by the tool runner; streamed: %s', async (stream) => {
      const run =
        ({ execute }: { execute: (input: never) => string }) =>
        (input: unknown) =>
          execute(input as never)
      const runnable = [
        betaZodTool({
          name: 'get_weather',
          description: weather.description,
          inputSchema: weather.input,
          run: run(weather),
        }),
        betaZodTool({ name: 'set_timer', description: timer.description, inputSchema: timer.input, run: run(timer) }),
      ]
      for (const { question, answer } of toyQuestions) {
        const messages = [{ role: 'user' as const, content: question }]
        const runner = client.beta.messages.toolRunner({
          ...common,
          messages,
          tools: runnable,
          max_iterations: 4,
          stream,
        })
        const final = await runner.runUntilDone()
        expect(final.content).toMatchObject([{ type: 'text', text: answer }])
      }
    })

    it.each([{ type: 'any' }, { type: 'tool', name: 'set_timer' }] as const)('that are chosen: %j', async (choice) => {
      const params = { ...common, tools, tool_choice: choice, messages: ask(smallTalk) }
      const whole = await client.messages.create(params)
      expect(whole.stop_reason).toBe('tool_use')
      const calls = whole.content.filter((block) => block.type === 'tool_use')
      expect(calls.length).toBeGreaterThan(0)
      if (choice.type === 'tool') expect(new Set(calls.map(({ name }) => name))).toEqual(new Set(['set_timer']))
      for (const { name, input } of calls)
        expect(toyTools[name as keyof typeof toyTools].input.safeParse(input).success).toBe(true)
      const streamed = await client.messages.stream(params).finalMessage()
      expect(streamed.content.map(withoutId)).toEqual(whole.content.map(withoutId))
      const one = { ...choice, disable_parallel_tool_use: true }
      const { content } = await client.messages.create({ ...params, tool_choice: one })
      expect(content.filter(({ type }) => type === 'tool_use')).toHaveLength(1)
    })

    it('that are not to be used: talks where it would call', async () => {
      for (const { question } of toyQuestions) {
        const message = await client.messages.create({
          ...common,
          tools,
          tool_choice: { type: 'none' },
          messages: ask(question),
        })
        expect(message.stop_reason).not.toBe('tool_use')
      }
    })
  })

  describe('structured output', () => {
    it('by output_config, whole and streamed', async () => {
      for (const { text, person: expected } of toyPersons) {
        const params = { ...common, messages: ask(text), output_config: { format: zodOutputFormat(person) } }
        expect((await client.messages.parse(params)).parsed_output).toEqual(expected)
        expect((await client.messages.stream(params).finalMessage()).parsed_output).toEqual(expected)
      }
    })

    it.each(Object.entries(unseenSchemas))('of a kind that the model has not seen: %s', async (_, schema) => {
      // The client's own helper leaves bounds and patterns out of the schema.
      const format = { type: 'json_schema' as const, schema: z.toJSONSchema(schema) }
      const message = await client.messages.parse({ ...common, messages: ask(smallTalk), output_config: { format } })
      const [block] = message.content
      expect(schema.safeParse(JSON.parse(block?.type === 'text' ? block.text : '')).error).toBeUndefined()
    })
  })

  it('counts tokens as a message does', async () => {
    const params = { model: common.model, messages: ask('What is the weather in Oslo?'), system: 'Be brief.', tools }
    const { input_tokens: count } = await client.messages.countTokens(params)
    const { usage } = await client.messages.create({ ...common, ...params })
    expect(count).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0))
    expect((await client.beta.messages.countTokens(params)).input_tokens).toBe(count)
  })

  it('gets errors of its own classes', async () => {
    const messages = ask('a')
    const create = (more: object) => client.messages.create({ ...common, messages, ...more })
    await expect(create({ model: 'other' })).rejects.toThrow(Anthropic.NotFoundError)
    await expect(create({ max_tokens: 0 })).rejects.toThrow(Anthropic.BadRequestError)
    const tooLong = create({ messages: ask('a b '.repeat(2000)) })
    await expect(tooLong).rejects.toThrow(/prompt is too long/)
    await expect(tooLong).rejects.toMatchObject({
      status: 400,
      type: 'invalid_request_error',
      requestID: expect.any(String),
    })
    const image = { type: 'image', source: { type: 'url', url: 'http://localhost/a.png' } } as const
    await expect(create({ messages: [{ role: 'user', content: [image] }] })).rejects.toThrow(/of type .*image/)
    await expect(create({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] })).rejects.toThrow(
      /web_search_20250305/,
    )
    await expect(client.messages.batches.list()).rejects.toThrow(Anthropic.NotFoundError)
  })

  it('is a coding agent: a long system prompt with marks for the cache, many tools, results that failed', async () => {
    const manyTools = [
      ...tools,
      ...Array.from({ length: 4 }, (_, i) => ({
        name: `Tool${i}`,
        input_schema: { type: 'object' as const, properties: { path: { type: 'string' } } },
      })),
    ]
    const cache_control = { type: 'ephemeral' as const }
    const messages: Anthropic.Beta.BetaMessageParam[] = [{ role: 'user', content: 'What is the weather in Oslo?' }]
    const turn = () =>
      client.beta.messages
        .stream({
          ...common,
          betas: ['claude-code-20250219', 'interleaved-thinking-2025-05-14'],
          metadata: { user_id: 'user_1_account__session_2' },
          max_tokens: 32_000,
          system: [
            { type: 'text', text: 'You are a helpful assistant.', cache_control },
            { type: 'text', text: 'Answer briefly.', cache_control },
          ],
          thinking: { type: 'enabled', budget_tokens: 31_999 },
          context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
          tools: manyTools.map((tool, index) => (index === manyTools.length - 1 ? { ...tool, cache_control } : tool)),
          tool_choice: { type: 'any' },
          messages,
        })
        .finalMessage()
    let cached = 0
    for (let i = 0; i < 3; i++) {
      const { content, stop_reason, usage } = await turn()
      expect(stop_reason).toBe('tool_use')
      cached = usage.cache_read_input_tokens ?? 0
      messages.push({ role: 'assistant', content })
      const results = content.flatMap((block) =>
        block.type === 'tool_use'
          ? [
              {
                type: 'tool_result' as const,
                tool_use_id: block.id,
                content: [{ type: 'text' as const, text: 'no such file', cache_control }],
                is_error: true,
              },
            ]
          : [],
      )
      messages.push({
        role: 'user',
        content: [...results, { type: 'text', text: '<system-reminder>Go on.</system-reminder>' }],
      })
    }
    expect(cached).toBeGreaterThan(0)
  })
})

function withoutId(block: Anthropic.ContentBlock): object {
  return block.type === 'tool_use' ? { ...block, id: null } : block
}
