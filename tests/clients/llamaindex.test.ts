/** LlamaIndex: agents, its own loop, choices through its extra options, and its ways to structured output. */
import { tool } from '@llamaindex/core/tools'
import { OpenAI, OpenAIAgent } from '@llamaindex/openai'
import { agent, agentToolCallEvent, stopAgentEvent } from '@llamaindex/workflow'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

type LlamaTool = ReturnType<typeof tool>
type ChatParams = Parameters<OpenAI['chat']>[0]
type ChatMessage = ChatParams['messages'][number]
/** What the client passes on as it is. */
type ChatOptions = Parameters<OpenAI['chat']>[0]['additionalChatOptions'] & { readonly min_tokens?: number }

const { get_weather: weather, set_timer: timer } = toyTools

/** LlamaIndex takes the quotes out of what a tool gives back; the model can read that of the weather all the same. */
const questions = toyQuestions.slice(0, 1)

const createTools = (): LlamaTool[] =>
  [
    tool({
      name: 'get_weather',
      description: weather.description,
      parameters: weather.input,
      execute: weather.execute,
    }),
    tool({
      name: 'set_timer',
      description: timer.description,
      parameters: timer.input,
      execute: timer.execute,
    }),
  ] as LlamaTool[]

describe('LlamaIndex', () => {
  let server: TinyServer
  let llm: OpenAI

  beforeAll(async () => {
    server = await startTinyServer()
    llm = new OpenAI({
      model: server.model,
      apiKey: 'none',
      baseURL: server.baseURL,
      temperature: 0,
      maxTokens: 200,
      maxRetries: 0,
      additionalSessionOptions: { fetch: server.fetch },
    })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const asked = (content: string): ChatMessage[] => [{ role: 'user', content }]

  describe('tool loops', () => {
    it('of an agent', async () => {
      for (const { question, tool: name, input, answer } of questions) {
        const workflow = agent({ llm, tools: createTools(), systemPrompt: 'You are a helpful assistant.' })
        const called: unknown[] = []
        let result: unknown = null
        for await (const event of workflow.runStream(question)) {
          if (agentToolCallEvent.include(event)) called.push([event.data.toolName, event.data.toolKwargs])
          if (stopAgentEvent.include(event)) result = event.data.result
        }
        expect(called).toEqual([[name, input]])
        expect(result).toBe(answer)
      }
      expect(server.takeSent().every(({ stream }) => stream === true)).toBe(true)
    })

    it.each([false, true])('of its older agent, stream: %s', async (stream) => {
      const [{ question, answer }] = toyQuestions
      const older = new OpenAIAgent({ llm, tools: createTools() })
      if (stream) {
        let text = ''
        for await (const { delta } of await older.chat({ message: question, stream })) text += delta
        expect(text).toBe(answer)
      } else expect((await older.chat({ message: question })).message.content).toBe(answer)
    })

    it('of exec, not streamed', async () => {
      for (const { question, tool: name, input, answer } of questions) {
        const messages = asked(question)
        const first = await llm.exec({ messages, tools: createTools() })
        expect(first.toolCalls).toMatchObject([{ name, input }])
        const last = await llm.exec({ messages: [...messages, ...first.newMessages], tools: createTools() })
        expect(last.toolCalls).toEqual([])
        expect(last.newMessages).toMatchObject([{ role: 'assistant', content: answer }])
      }
    })

    it('of exec, streamed', async () => {
      for (const { question, tool: name, input, answer } of questions) {
        const messages = asked(question)
        const first = await llm.exec({ messages, tools: createTools(), stream: true })
        expect(first.toolCalls).toMatchObject([{ name, input }])
        const last = await llm.exec({
          messages: [...messages, ...first.newMessages()],
          tools: createTools(),
          stream: true,
        })
        let text = ''
        for await (const { delta } of last.stream) text += delta
        expect(text).toBe(answer)
      }
    })
  })

  describe('choices', () => {
    const execWith = (question: string, additionalChatOptions: ChatOptions) =>
      llm.exec({ messages: asked(question), tools: createTools(), additionalChatOptions })

    it('required and named: calls where it would talk', async () => {
      const named = { type: 'function', function: { name: 'set_timer' } } as const
      for (const tool_choice of ['required', named] as const) {
        const { toolCalls } = await execWith(smallTalk, { tool_choice })
        expect(toolCalls.length).toBeGreaterThan(0)
        for (const { name, input } of toolCalls)
          expect(toyTools[name as keyof typeof toyTools].input.safeParse(input).error).toBeUndefined()
        if (tool_choice === named) expect(toolCalls).toMatchObject([{ name: 'set_timer' }])
        const streamed = await llm.exec({
          messages: asked(smallTalk),
          tools: createTools(),
          additionalChatOptions: { tool_choice },
          stream: true,
        })
        const plain = (calls: typeof toolCalls) => calls.map(({ name, input }) => ({ name, input }))
        expect(plain(streamed.toolCalls)).toEqual(plain(toolCalls))
      }
    })

    it('none: talks where it would call', async () => {
      expect((await execWith(toyQuestions[0].question, { tool_choice: 'none' })).toolCalls).toEqual([])
    })

    it('several calls in one turn', async () => {
      const { toolCalls, newMessages } = await execWith(toyQuestions[0].question, {
        tool_choice: 'required',
        min_tokens: 48,
      })
      expect(toolCalls.length).toBeGreaterThan(1)
      expect(newMessages).toHaveLength(toolCalls.length + 1)
    })
  })

  describe('structured output', () => {
    it('a zod schema as response format, in chat and complete, streamed and not', async () => {
      for (const { text, person: expected } of toyPersons) {
        const request = { messages: asked(text), responseFormat: person }
        const { message } = await llm.chat(request)
        expect(JSON.parse(String(message.content))).toEqual(expected)
        let streamed = ''
        for await (const { delta } of await llm.chat({ ...request, stream: true })) streamed += delta
        expect(streamed).toBe(message.content)
        const completed = await llm.complete({ prompt: text, responseFormat: person })
        expect(completed.text).toBe(message.content)
      }
      expect(server.takeSent().at(-1)?.response_format?.type).toBe('json_schema')
    })

    it('json mode', async () => {
      const { text, person: expected } = toyPersons[0]!
      const { message } = await llm.chat({ messages: asked(text), responseFormat: { type: 'json_object' } })
      expect(JSON.parse(String(message.content))).toEqual(expected)
    })

    it.each(Object.entries(unseenSchemas))('%s as a call of its format tool, streamed and not', async (_, schema) => {
      const request = {
        messages: asked(smallTalk),
        responseFormat: schema,
        additionalChatOptions: { tool_choice: 'required' },
      } as const
      const { object } = await llm.exec(request)
      expect(schema.safeParse(object).error).toBeUndefined()
      expect((await llm.exec({ ...request, stream: true })).object).toEqual(object)
    })

    it.each(Object.entries(unseenSchemas))('%s that the model has never seen', async (_, schema) => {
      const messages = asked('Tell me the weather in Oslo as JSON.')
      const { message } = await llm.chat({ messages, responseFormat: schema })
      expect(schema.safeParse(JSON.parse(String(message.content))).error).toBeUndefined()
    })
  })
})
