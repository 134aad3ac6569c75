/** LangChain's ChatOpenAI: loops, choices, and its three methods of structured output. */
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import type { AIMessageChunk, BaseMessage } from '@langchain/core/messages'
import { tool } from '@langchain/core/tools'
import type { StructuredToolInterface } from '@langchain/core/tools'
import { ChatOpenAI } from '@langchain/openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools
const tools: StructuredToolInterface[] = [
  tool(weather.execute, {
    name: 'get_weather',
    description: weather.description,
    schema: weather.input,
  }),
  tool(timer.execute, {
    name: 'set_timer',
    description: timer.description,
    schema: timer.input,
  }),
]

describe('LangChain', () => {
  let server: TinyServer
  let model: ChatOpenAI

  const createModel = (modelKwargs: Record<string, unknown> = {}): ChatOpenAI =>
    new ChatOpenAI({
      model: server.model,
      apiKey: 'none',
      temperature: 0,
      maxTokens: 200,
      maxRetries: 0,
      modelKwargs,
      configuration: { baseURL: server.baseURL, fetch: server.fetch },
    })

  beforeAll(async () => {
    server = await startTinyServer()
    model = createModel()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  type Bound = ReturnType<ChatOpenAI['bindTools']>

  const invoke = (bound: Bound, messages: BaseMessage[]): Promise<AIMessageChunk> => bound.invoke(messages)

  async function stream(bound: Bound, messages: BaseMessage[]): Promise<AIMessageChunk> {
    let whole: AIMessageChunk | null = null
    for await (const chunk of await bound.stream(messages)) whole = whole === null ? chunk : whole.concat(chunk)
    return whole!
  }

  describe('tool loops', () => {
    it.each([
      ['invoke', invoke, undefined],
      ['stream', stream, undefined],
      ['invoke, strict', invoke, true],
      ['stream, strict', stream, true],
    ] as const)('%s', async (_, ask, strict) => {
      const bound = model.bindTools(tools, { strict })
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const messages: BaseMessage[] = [new HumanMessage(question)]
        const first = await ask(bound, messages)
        expect(first.tool_calls).toMatchObject([{ name, args: input }])
        expect(first.invalid_tool_calls ?? []).toEqual([])
        expect(first.response_metadata['finish_reason']).toBe('tool_calls')
        const result: unknown = await tools.find((each) => each.name === name)!.invoke(first.tool_calls![0]!)
        expect(result).toBeInstanceOf(ToolMessage)
        messages.push(first, result as ToolMessage)
        const last = await ask(bound, messages)
        expect(last.tool_calls ?? []).toEqual([])
        expect(last.text).toBe(answer)
        expect(last.usage_metadata?.output_tokens).toBeGreaterThan(0)
      }
    })
  })

  describe('choices', () => {
    it.each(['any', 'required', 'get_weather', { type: 'function', function: { name: 'set_timer' } }] as const)(
      '%j: calls where it would talk',
      async (tool_choice) => {
        const bound = model.bindTools(tools, { tool_choice })
        const whole = await invoke(bound, [new HumanMessage(smallTalk)])
        const parts = await stream(bound, [new HumanMessage(smallTalk)])
        const calls = (message: AIMessageChunk) => message.tool_calls?.map(({ name, args }) => ({ name, args }))
        expect(whole.tool_calls?.length).toBeGreaterThan(0)
        expect(calls(parts)).toEqual(calls(whole))
        for (const { name, args } of whole.tool_calls!)
          expect(toyTools[name as keyof typeof toyTools].input.safeParse(args).error).toBeUndefined()
        if (tool_choice === 'get_weather') expect(whole.tool_calls).toMatchObject([{ name: 'get_weather' }])
        if (typeof tool_choice === 'object') expect(whole.tool_calls).toMatchObject([{ name: 'set_timer' }])
      },
    )

    it('none: talks where it would call', async () => {
      const bound = model.bindTools(tools, { tool_choice: 'none' })
      expect((await invoke(bound, [new HumanMessage(toyQuestions[0].question)])).tool_calls).toEqual([])
    })

    it('several calls in one turn, and one where that is not wanted', async () => {
      const talkative = createModel({ min_tokens: 48 })
      const question = [new HumanMessage(toyQuestions[0].question)]
      const bound = talkative.bindTools(tools, { tool_choice: 'required' })
      for (const ask of [invoke, stream]) {
        const { tool_calls: calls = [] } = await ask(bound, question)
        expect(calls.length).toBeGreaterThan(1)
        expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length)
      }
      const single = talkative.bindTools(tools, { tool_choice: 'required', parallel_tool_calls: false })
      expect((await invoke(single, question)).tool_calls).toHaveLength(1)
    })
  })

  describe('withStructuredOutput', () => {
    async function lastOf(stream: AsyncIterable<unknown>): Promise<unknown> {
      let last: unknown = null
      for await (const part of stream) last = part
      return last
    }

    it.each([
      ['jsonSchema', { method: 'jsonSchema' }],
      ['jsonSchema, strict', { method: 'jsonSchema', strict: true }],
      ['jsonMode', { method: 'jsonMode' }],
    ] as const)('%s', async (_, config) => {
      const structured = model.withStructuredOutput(person, { name: 'person', ...config })
      for (const { text, person: expected } of toyPersons) {
        expect(await structured.invoke(text)).toEqual(expected)
        expect(await lastOf(await structured.stream(text))).toEqual(expected)
      }
    })

    it.each([undefined, true])('functionCalling, strict: %s', async (strict) => {
      for (const { question, tool: name, input } of toyQuestions) {
        const schema: z.ZodType<Record<string, unknown>> = toyTools[name].input
        const structured = model.withStructuredOutput(schema, { name, method: 'functionCalling', strict })
        expect(await structured.invoke(question)).toEqual(input)
        expect(await lastOf(await structured.stream(question))).toEqual(input)
      }
    })

    it('gives the raw message too', async () => {
      const structured = model.withStructuredOutput(person, { name: 'person', includeRaw: true })
      const { raw, parsed } = await structured.invoke(toyPersons[0]!.text)
      expect(parsed).toEqual(toyPersons[0]!.person)
      expect(JSON.parse(raw.text)).toEqual(parsed)
    })

    it.each(Object.keys(unseenSchemas))('%s that the model has never seen', async (name) => {
      for (const method of ['jsonSchema', 'functionCalling'] as const) {
        const structured = model.withStructuredOutput(unseenSchemas[name]!, { name: 'unseen', method })
        const output: unknown = await structured.invoke('Tell me the weather in Oslo as JSON.')
        expect(unseenSchemas[name]!.safeParse(output).error).toBeUndefined()
      }
    })
  })
})
