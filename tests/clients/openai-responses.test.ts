/** The official client over Responses: conversations that the server keeps, tool loops, parsed output, streams, background. */
import OpenAI from 'openai'
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'
import type { ToyTool, ToyToolName } from './toy-world.ts'

type Create = OpenAI.Responses.ResponseCreateParamsNonStreaming
type Item = OpenAI.Responses.ResponseInputItem

/** vLLM's fields, of which the client does not know. */
interface Extras {
  readonly min_tokens?: number
  readonly ignore_eos?: boolean
}

const tools: OpenAI.Responses.FunctionTool[] = Object.entries(toyTools).map(([name, { description, input }]) => ({
  type: 'function',
  name,
  description,
  parameters: z.toJSONSchema(input, { target: 'draft-7' }),
  strict: true,
}))

const zodTools = [
  zodResponsesFunction({ name: 'get_weather', parameters: toyTools.get_weather.input }),
  zodResponsesFunction({ name: 'set_timer', parameters: toyTools.set_timer.input }),
]

function run({ name, arguments: json }: OpenAI.Responses.ResponseFunctionToolCall): string {
  const { input, execute } = toyTools[name as ToyToolName] as ToyTool
  return execute(input.parse(JSON.parse(json)))
}

function callsOf({ output }: OpenAI.Responses.Response): OpenAI.Responses.ResponseFunctionToolCall[] {
  return output.filter((item) => item.type === 'function_call')
}

describe('openai, Responses', () => {
  let server: TinyServer
  let client: OpenAI

  beforeAll(async () => {
    server = await startTinyServer()
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0, fetch: server.fetch })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const params = (input: Create['input'], more: Partial<Create> & Extras = {}): Create => ({
    model: server.model,
    ...(input !== undefined && { input }),
    max_output_tokens: 200,
    temperature: 0,
    ...more,
  })

  const once = (request: Create) => client.responses.create(request)
  const streamed = (request: Create) =>
    client.responses
      .stream({ ...request, stream: true } as Parameters<typeof client.responses.stream>[0])
      .finalResponse()
  const ways = [
    ['not streamed', once],
    ['streamed', streamed],
  ] as const

  describe('tool loops', () => {
    it.each(ways)('with the items sent along, %s', async (_, ask) => {
      for (const { question, tool, input, answer } of toyQuestions) {
        const items: Item[] = [{ role: 'user', content: question }]
        const first = await ask(params(items, { tools, store: false }))
        const [call] = callsOf(first)
        expect(call).toMatchObject({ name: tool, status: 'completed' })
        expect(JSON.parse(call!.arguments)).toEqual(input)
        items.push(...(first.output as Item[]), {
          type: 'function_call_output',
          call_id: call!.call_id,
          output: run(call!),
        })
        const second = await ask(params(items, { tools, store: false }))
        expect(second.output_text).toBe(answer)
        expect(second.status).toBe('completed')
      }
    })

    it.each(ways)('on the conversation that the server has, %s', async (_, ask) => {
      for (const { question, answer } of toyQuestions) {
        const first = await ask(params(question, { tools }))
        const [call] = callsOf(first)
        const output: Item = { type: 'function_call_output', call_id: call!.call_id, output: run(call!) }
        const second = await ask(params([output], { tools, previous_response_id: first.id }))
        expect(second.output_text).toBe(answer)
        expect(second.previous_response_id).toBe(first.id)
        // What the model wrote is rendered as it was written.
        const numKnown = first.usage!.input_tokens + first.usage!.output_tokens
        expect(second.usage!.input_tokens_details.cached_tokens).toBeGreaterThan(numKnown - 32)
      }
    })

    it('with arguments that the client parses', async () => {
      const response = await client.responses.parse(params(toyQuestions[0].question, { tools: zodTools }))
      const [call] = response.output.filter((item) => item.type === 'function_call')
      expect(call?.parsed_arguments).toEqual(toyQuestions[0].input)
    })
  })

  describe('choices', () => {
    it.each(ways)('of a tool, where it would talk, %s', async (_, ask) => {
      const named = await ask(params(smallTalk, { tools, tool_choice: { type: 'function', name: 'set_timer' } }))
      expect(callsOf(named).map(({ name }) => name)).toEqual(['set_timer'])
      const any = await ask(params(smallTalk, { tools, tool_choice: 'required' }))
      expect(callsOf(any).length).toBeGreaterThan(0)
      const allowed = {
        type: 'allowed_tools',
        mode: 'required',
        tools: [{ type: 'function', name: 'get_weather' }],
      } as const
      const some = await ask(params(smallTalk, { tools, tool_choice: { ...allowed, tools: [...allowed.tools] } }))
      expect(new Set(callsOf(some).map(({ name }) => name))).toEqual(new Set(['get_weather']))
      const none = await ask(params(toyQuestions[0].question, { tools, tool_choice: 'none' }))
      expect(callsOf(none)).toEqual([])
    })

    it('of one call or several', async () => {
      const request = params(toyQuestions[0].question, { tools, tool_choice: 'required', min_tokens: 48 })
      expect(callsOf(await once(request)).length).toBeGreaterThan(1)
      expect(callsOf(await once({ ...request, parallel_tool_calls: false }))).toHaveLength(1)
    })
  })

  describe('structured output', () => {
    const format = zodTextFormat(person, 'person')

    it('parsed, and parsed from a stream', async () => {
      for (const { text, person: expected } of toyPersons) {
        const request = { ...params(text), text: { format } }
        expect((await client.responses.parse(request)).output_parsed).toEqual(expected)
        expect((await client.responses.stream({ ...request, stream: true }).finalResponse()).output_parsed).toEqual(
          expected,
        )
      }
    })

    it('of any object', async () => {
      const { text, person: expected } = toyPersons[0]!
      const response = await once(params(text, { text: { format: { type: 'json_object' } } }))
      expect(JSON.parse(response.output_text)).toEqual(expected)
    })

    it.each(Object.entries(unseenSchemas))('of %s that the model has never seen', async (_, schema) => {
      const request = {
        ...params('Tell me the weather in Oslo as JSON.'),
        text: { format: zodTextFormat(schema, 'unseen') },
      }
      const { output_parsed: parsed } = await client.responses.parse(request)
      expect(schema.safeParse(parsed).error).toBeUndefined()
    })
  })

  describe('a stream', () => {
    it('has the events of OpenAI, numbered, and tells what the whole answer has', async () => {
      const whole = await once(params(smallTalk, { store: false }))
      const types: string[] = []
      let text = ''
      const events = await client.responses.create({ ...params(smallTalk), store: false, stream: true })
      let numEvents = 0
      for await (const event of events) {
        expect(event.sequence_number).toBe(numEvents++)
        if (event.type === 'response.output_text.delta') text += event.delta
        if (types.at(-1) !== event.type) types.push(event.type)
      }
      expect(types).toEqual([
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.completed',
      ])
      expect(text).toBe(whole.output_text)
    })

    it('ends as incomplete at the token limit', async () => {
      for (const [, ask] of ways) {
        const response = await ask(params(smallTalk, { max_output_tokens: 2 }))
        expect(response).toMatchObject({
          status: 'incomplete',
          incomplete_details: { reason: 'max_output_tokens' },
          output: [{ type: 'message', status: 'incomplete' }],
          usage: { output_tokens: 2 },
        })
      }
    })

    it('has logprobs of the tokens of its text', async () => {
      const request = params(smallTalk, { include: ['message.output_text.logprobs'], top_logprobs: 2 })
      const { output } = await streamed(request)
      const [message] = output.filter((item) => item.type === 'message')
      const [part] = message!.content.filter((content) => content.type === 'output_text')
      expect(part?.logprobs?.map(({ token }) => token).join('')).toContain(part?.text)
      for (const { top_logprobs: top, logprob, token } of part?.logprobs ?? [])
        expect(top).toContainEqual(expect.objectContaining({ token, logprob }))
      expect(part?.logprobs?.every(({ top_logprobs: top }) => top.length === 2)).toBe(true)
    })
  })

  describe('what is kept', () => {
    it('can be read, listed and deleted', async () => {
      const input: Item[] = ['One.', 'Two.', 'Three.'].map((content) => ({ role: 'user', content }))
      const created = await once(params(input, { metadata: { kind: 'test' }, instructions: 'Be brief.' }))
      const { output_text: _, ...same } = await client.responses.retrieve(created.id)
      expect(created).toMatchObject(same)
      const texts: unknown[] = []
      for await (const item of client.responses.inputItems.list(created.id, { limit: 2, order: 'asc' }))
        texts.push('content' in item && Array.isArray(item.content) ? item.content[0] : null)
      expect(texts).toEqual(['One.', 'Two.', 'Three.'].map((text) => ({ type: 'input_text', text })))
      await client.responses.delete(created.id)
      await expect(client.responses.retrieve(created.id)).rejects.toThrow(OpenAI.NotFoundError)
      await expect(client.responses.delete(created.id)).rejects.toThrow(OpenAI.NotFoundError)
      await expect(once(params('And?', { previous_response_id: created.id }))).rejects.toThrow(OpenAI.NotFoundError)
    })

    it('is not, where the client does not want it', async () => {
      const response = await once(params(smallTalk, { store: false }))
      expect(response).toMatchObject({ store: false })
      await expect(client.responses.retrieve(response.id)).rejects.toThrow(OpenAI.NotFoundError)
    })
  })

  describe('the background', () => {
    it('goes on by itself, and is polled', async () => {
      let response = await once(params(smallTalk, { background: true }))
      expect(response).toMatchObject({ status: 'queued', output: [], usage: null })
      while (response.status === 'queued' || response.status === 'in_progress') {
        await new Promise((resolve) => setTimeout(resolve, 20))
        response = await client.responses.retrieve(response.id)
      }
      expect(response.output_text).toBe((await once(params(smallTalk))).output_text)
    })

    it('is streamed again from where a client was', async () => {
      const events = await client.responses.create({ ...params(smallTalk), background: true, stream: true })
      let id = ''
      let last = -1
      for await (const event of events) {
        if (event.type === 'response.created') id = event.response.id
        last = event.sequence_number
        if (event.type === 'response.output_text.delta') break
      }
      const rest = await client.responses.retrieve(id, { stream: true, starting_after: last })
      const numbers: number[] = []
      let final: OpenAI.Responses.Response | null = null
      for await (const event of rest) {
        numbers.push(event.sequence_number)
        if (event.type === 'response.completed') final = event.response
      }
      expect(numbers).toEqual(numbers.map((_, i) => last + 1 + i))
      expect(final?.output).toEqual((await client.responses.retrieve(id)).output)
      const replayed = await client.responses.stream({ response_id: id }).finalResponse()
      expect(replayed.output_text).toBe((await client.responses.retrieve(id)).output_text)
    })

    it('is cancelled, once and again', async () => {
      const endless = params(smallTalk, { background: true, max_output_tokens: 400, ignore_eos: true })
      const { id } = await once(endless)
      expect((await client.responses.cancel(id)).status).toBe('cancelled')
      expect((await client.responses.cancel(id)).status).toBe('cancelled')
      expect((await client.responses.retrieve(id)).status).toBe('cancelled')
      const { id: other } = await once(params(smallTalk))
      await expect(client.responses.cancel(other)).rejects.toThrow(OpenAI.BadRequestError)
    })
  })

  it.each([
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'data:image/png;base64,' }] }] },
      /input_image/,
    ],
    [{ tools: [{ type: 'web_search' }] }, /web_search/],
    [{ conversation: 'conv_1' }, /conversation.*previous_response_id/],
    [{ text: { verbosity: 'low' } }, /verbosity/],
    [{ service_tier: 'flex' }, /service_tier/],
    [{ top_logprobs: 2 }, /include/],
  ])('refuses %j', async (more, message) => {
    const request = { ...params(smallTalk), ...more } as Create
    await expect(once(request)).rejects.toMatchObject({ status: 400, message: expect.stringMatching(message) })
  })
})

describe('openai, Responses of a model that thinks', () => {
  let server: TinyServer
  let client: OpenAI

  beforeAll(async () => {
    server = await startTinyServer({ thinks: true })
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const thinking = (more: object = {}) => ({
    model: server.model,
    input: 'What is the capital of France?',
    temperature: 0,
    max_output_tokens: 60,
    thinking_token_budget: 5,
    ...more,
  })

  it('shows the reasoning, and counts it', async () => {
    const whole = await client.responses.create(thinking())
    const stream = client.responses.stream(thinking())
    let thought = ''
    stream.on('response.reasoning_text.delta', ({ delta }) => (thought += delta))
    const streamed = await stream.finalResponse()
    for (const { output, usage } of [whole, streamed]) {
      expect(output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
      expect(output[0]).toMatchObject({ summary: [], content: [{ type: 'reasoning_text', text: thought }] })
      expect(usage?.output_tokens_details.reasoning_tokens).toBeGreaterThanOrEqual(5)
      expect(usage?.output_tokens_details.reasoning_tokens).toBeLessThan(usage!.output_tokens)
    }
    expect(thought).not.toBe('')
    expect(streamed.output_text).toBe(whole.output_text)
  })

  it('as a summary, where one is asked for', async () => {
    const whole = await client.responses.create(thinking({ reasoning: { summary: 'auto', effort: 'low' } }))
    expect(whole.output[0]).toMatchObject({ type: 'reasoning', summary: [{ type: 'summary_text' }], content: [] })
    expect(whole.reasoning).toMatchObject({ summary: 'auto', effort: 'low' })
    const stream = client.responses.stream(thinking({ reasoning: { summary: 'auto' } }))
    const { output } = await stream.finalResponse()
    expect(output[0]).toMatchObject({ summary: (whole.output[0] as { summary: unknown }).summary })
  })

  it('goes on from reasoning that the client gives back', async () => {
    const stateless = thinking({ store: false, include: ['reasoning.encrypted_content'] })
    const first = await client.responses.create(stateless)
    const [reasoning, message] = first.output
    expect(reasoning).toMatchObject({ encrypted_content: expect.stringMatching(/./) })
    const { encrypted_content: sealed } = reasoning as OpenAI.Responses.ResponseReasoningItem
    const input = [
      { role: 'user', content: stateless.input },
      { type: 'reasoning', summary: [], encrypted_content: sealed },
      message,
      { role: 'user', content: 'And of Norway?' },
    ]
    const again = await client.responses.create(thinking({ input }))
    const numKnown = first.usage!.input_tokens + first.usage!.output_tokens
    expect(again.usage!.input_tokens_details.cached_tokens).toBeGreaterThan(numKnown - 32)
    const foreign = [{ type: 'reasoning', summary: [], encrypted_content: 'gAAAA' }, ...input]
    await expect(client.responses.create(thinking({ input: foreign }))).rejects.toThrow(/encrypted_content/)
  })

  it('does not think where no effort is wanted', async () => {
    const { output, usage } = await client.responses.create(thinking({ reasoning: { effort: 'none' } }))
    expect(output.map(({ type }) => type)).toEqual(['message'])
    expect(usage?.output_tokens_details.reasoning_tokens).toBe(0)
  })
})
