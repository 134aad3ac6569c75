/** The official client: tool loops, choices, parallel calls and every way it has to ask for structured output. */
import OpenAI from 'openai'
import { LengthFinishReasonError } from 'openai/error'
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'
import type { ToyTool, ToyToolName } from './toy-world.ts'

type Chat = OpenAI.ChatCompletionCreateParamsNonStreaming
type Message = OpenAI.ChatCompletionMessageParam
type ToolCall = OpenAI.ChatCompletionMessageFunctionToolCall

/** vLLM's field, by which a model that would end goes on. */
interface Extras {
  readonly min_tokens?: number
}

const tools: OpenAI.ChatCompletionFunctionTool[] = Object.entries(toyTools).map(([name, { description, input }]) => ({
  type: 'function',
  function: { name, description, parameters: z.toJSONSchema(input, { target: 'draft-7' }) },
}))

const zodTools = [
  zodFunction({ name: 'get_weather', parameters: toyTools.get_weather.input, function: toyTools.get_weather.execute }),
  zodFunction({ name: 'set_timer', parameters: toyTools.set_timer.input, function: toyTools.set_timer.execute }),
]

function run({ name, arguments: json }: ToolCall['function']): string {
  const { input, execute } = toyTools[name as ToyToolName] as ToyTool
  return execute(input.parse(JSON.parse(json)))
}

describe('openai', () => {
  let server: TinyServer
  let client: OpenAI

  beforeAll(async () => {
    server = await startTinyServer()
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0, fetch: server.fetch })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const params = (content: string, more: Partial<Chat> & Extras = {}): Chat => ({
    model: server.model,
    messages: [{ role: 'user', content }],
    max_tokens: 200,
    temperature: 0,
    ...more,
  })

  /** A message made of a stream's deltas, as a program without helpers makes it. */
  async function streamed(request: Chat): Promise<{ content: string; toolCalls: ToolCall[]; reason: string | null }> {
    const toolCalls: ToolCall[] = []
    let content = ''
    let reason: string | null = null
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      const choice = choices[0]
      content += choice?.delta.content ?? ''
      for (const { index, id, function: part } of choice?.delta.tool_calls ?? []) {
        const call = (toolCalls[index] ??= { id: '', type: 'function', function: { name: '', arguments: '' } })
        call.id += id ?? ''
        call.function.name += part?.name ?? ''
        call.function.arguments += part?.arguments ?? ''
      }
      reason = choice?.finish_reason ?? reason
    }
    return { content, toolCalls, reason }
  }

  async function once(request: Chat): ReturnType<typeof streamed> {
    const choice = (await client.chat.completions.create(request)).choices[0]!
    return {
      content: choice.message.content ?? '',
      toolCalls: (choice.message.tool_calls ?? []).filter((call) => call.type === 'function'),
      reason: choice.finish_reason,
    }
  }

  /** Calls without ids, which differ from request to request. */
  const callsOf = (toolCalls: readonly ToolCall[]) => toolCalls.map((call) => call.function)

  describe('tool loops', () => {
    it.each([
      ['not streamed', once],
      ['streamed', streamed],
    ])('written by hand, %s', async (_, ask) => {
      for (const { question, tool, input, answer } of toyQuestions) {
        const messages: Message[] = [{ role: 'user', content: question }]
        const first = await ask(params('', { messages, tools }))
        expect(first).toMatchObject({ content: '', reason: 'tool_calls' })
        expect(first.toolCalls).toHaveLength(1)
        const [call] = first.toolCalls as [ToolCall]
        expect(call).toMatchObject({ type: 'function', id: expect.stringMatching(/./), function: { name: tool } })
        expect(JSON.parse(call.function.arguments)).toEqual(input)
        messages.push(
          { role: 'assistant', content: null, tool_calls: first.toolCalls },
          { role: 'tool', tool_call_id: call.id, content: run(call.function) },
        )
        expect(await ask(params('', { messages, tools }))).toEqual({ content: answer, toolCalls: [], reason: 'stop' })
      }
    })

    it('says no content where there are only calls, and no calls where there are none', async () => {
      const called = await client.chat.completions.create(params(toyQuestions[0].question, { tools }))
      expect(called.choices[0]?.message.content).toBeNull()
      const said = await client.chat.completions.create(params(smallTalk, { tools }))
      expect(said.choices[0]?.message.tool_calls).toBeUndefined()
    })

    it('of its runner, not streamed', async () => {
      for (const { question, tool, answer } of toyQuestions) {
        const runner = client.chat.completions.runTools({ ...params(question), tools: zodTools, stream: false })
        const called: string[] = []
        runner.on('functionToolCall', ({ name }) => called.push(name))
        expect(await runner.finalContent()).toBe(answer)
        expect(called).toEqual([tool])
      }
      expect(server.takeSent().at(-1)?.tools?.[0]?.function.strict).toBe(true)
    })

    it('of its runner, streamed', async () => {
      for (const { question, tool, answer } of toyQuestions) {
        const runner = client.chat.completions.runTools({ ...params(question), tools: zodTools, stream: true })
        const called: string[] = []
        runner.on('functionToolCall', ({ name }) => called.push(name))
        expect(await runner.finalContent()).toBe(answer)
        expect(called).toEqual([tool])
      }
      expect(server.takeSent().at(-1)?.stream).toBe(true)
    })
  })

  describe('choices', () => {
    const choose = (tool_choice: OpenAI.ChatCompletionToolChoiceOption, question: string = smallTalk) =>
      params(question, { tools, tool_choice })

    /** Both ways give the same: content, calls, reason. */
    async function both(request: Chat): ReturnType<typeof streamed> {
      const whole = await once(request)
      const parts = await streamed(request)
      expect({ ...parts, toolCalls: callsOf(parts.toolCalls) }).toEqual({
        ...whole,
        toolCalls: callsOf(whole.toolCalls),
      })
      return whole
    }

    function checkCall({ function: { name, arguments: text } }: ToolCall): void {
      expect(Object.keys(toyTools)).toContain(name)
      expect(toyTools[name as ToyToolName].input.safeParse(JSON.parse(text)).error).toBeUndefined()
    }

    it('required: calls where it would have talked', async () => {
      expect((await both(params(smallTalk, { tools }))).toolCalls).toEqual([])
      const { toolCalls, reason, content } = await both(choose('required'))
      expect(toolCalls.length).toBeGreaterThan(0)
      for (const call of toolCalls) checkCall(call)
      expect({ reason, content }).toEqual({ reason: 'tool_calls', content: '' })
    })

    it.each(Object.keys(toyTools))('named: calls %s, whatever was asked', async (name) => {
      for (const question of [smallTalk, toyQuestions[0].question]) {
        const { toolCalls } = await both(choose({ type: 'function', function: { name } }, question))
        expect(toolCalls).toHaveLength(1)
        expect(toolCalls[0]?.function.name).toBe(name)
        checkCall(toolCalls[0]!)
      }
    })

    it('none: talks where it would have called', async () => {
      const { toolCalls, reason } = await both(choose('none', toyQuestions[0].question))
      expect({ toolCalls, reason }).toEqual({ toolCalls: [], reason: 'stop' })
    })

    it('allowed tools: calls one of these only', async () => {
      const allowed = { type: 'function', function: { name: 'set_timer' } }
      const { toolCalls } = await both(
        choose(
          { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [allowed] } },
          toyQuestions[0].question,
        ),
      )
      expect(toolCalls[0]?.function.name).toBe('set_timer')
    })

    it('calls several in one turn, and one where that is not wanted', async () => {
      const more = { tools, tool_choice: 'required', min_tokens: 48 } as const
      const { toolCalls } = await both(params(toyQuestions[0].question, more))
      expect(toolCalls.length).toBeGreaterThan(1)
      for (const call of toolCalls) checkCall(call)
      expect(new Set(toolCalls.map(({ id }) => id)).size).toBe(toolCalls.length)
      const single = await both(params(toyQuestions[0].question, { ...more, parallel_tool_calls: false }))
      expect(single.toolCalls).toHaveLength(1)
      const messages: Message[] = [
        { role: 'user', content: toyQuestions[0].question },
        { role: 'assistant', tool_calls: toolCalls },
        ...toolCalls.map((call) => ({
          role: 'tool' as const,
          tool_call_id: call.id,
          content: run(call.function),
        })),
      ]
      expect((await both(params('', { messages, tools, tool_choice: 'none' }))).content).not.toBe('')
    })
  })

  describe('structured output', () => {
    const formats: Record<string, OpenAI.ChatCompletionCreateParams['response_format']> = {
      json_schema: {
        type: 'json_schema',
        json_schema: { name: 'person', strict: true, schema: z.toJSONSchema(person, { target: 'draft-7' }) },
      },
      json_object: { type: 'json_object' },
    }

    it.each(Object.keys(formats))('%s, streamed and not', async (name) => {
      for (const { text, person: expected } of toyPersons) {
        const request = params(text, { response_format: formats[name] })
        const { content, reason } = await once(request)
        expect(JSON.parse(content)).toEqual(expected)
        expect(reason).toBe('stop')
        expect((await streamed(request)).content).toBe(content)
      }
    })

    it('parse with a zod schema', async () => {
      for (const { text, person: expected } of toyPersons) {
        const request = { ...params(text), response_format: zodResponseFormat(person, 'person') }
        const completion = await client.chat.completions.parse(request)
        expect(completion.choices[0]?.message.parsed).toEqual(expected)
      }
    })

    it("its stream helper with a zod schema gives the object's parts and then the object", async () => {
      const { text, person: expected } = toyPersons[0]!
      const stream = client.chat.completions.stream({
        ...params(text),
        stream: true,
        response_format: zodResponseFormat(person, 'person'),
      })
      const snapshots: unknown[] = []
      stream.on('content.delta', ({ parsed }) => snapshots.push(parsed))
      expect((await stream.finalChatCompletion()).choices[0]?.message.parsed).toEqual(expected)
      expect(snapshots.length).toBeGreaterThan(3)
      expect(snapshots.at(-1)).toEqual(expected)
    })

    it('parse with zod tools gives parsed arguments', async () => {
      for (const { question, tool, input } of toyQuestions) {
        const completion = await client.chat.completions.parse({ ...params(question), tools: zodTools })
        expect(completion.choices[0]?.message.tool_calls).toMatchObject([
          { function: { name: tool, parsed_arguments: input } },
        ])
      }
    })

    it.each(Object.keys(unseenSchemas))('%s that the model has never seen, greedy and drawn', async (name) => {
      const response_format = zodResponseFormat(unseenSchemas[name]!, 'unseen')
      // The client itself parses each of them by the schema, and throws where one does not fit.
      for (const more of [{}, { temperature: 1, seed: 5, n: 3 }]) {
        const completion = await client.chat.completions.parse({
          ...params('Tell me the weather in Oslo as JSON.', more),
          response_format,
        })
        expect(completion.choices).toHaveLength('n' in more ? 3 : 1)
        for (const { message } of completion.choices) expect(message.parsed).toEqual(expect.any(Object))
      }
    })

    it('says length, not JSON, where the answer did not fit', async () => {
      const request = params(toyPersons[0]!.text, { max_tokens: 8, response_format: formats['json_schema'] })
      expect((await once(request)).reason).toBe('length')
      const parsing = client.chat.completions.parse({
        ...request,
        response_format: zodResponseFormat(person, 'person'),
      })
      await expect(parsing).rejects.toBeInstanceOf(LengthFinishReasonError)
    })

    it('refuses a schema that cannot be held, with where and why', async () => {
      const schema = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } }
      const failure = client.chat.completions.create(
        params(smallTalk, { response_format: { type: 'json_schema', json_schema: { name: 'bad', schema } } }),
      )
      await expect(failure).rejects.toBeInstanceOf(OpenAI.BadRequestError)
      await expect(failure).rejects.toThrow(/uniqueItems.*\/properties\/a/)
    })
  })
})
