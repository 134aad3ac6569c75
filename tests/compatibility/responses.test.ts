/**
 * What vLLM's own tests ask of /v1/responses (tests/entrypoints/openai/responses: test_basic, test_simple, test_stateful,
 * test_structured_output, test_function_call, test_errors), each `it` one of theirs in our words, against octavo-tiny.
 */
import OpenAI, { BadRequestError, NotFoundError } from 'openai'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { toyQuestions, toyTools } from '../clients/toy-world.ts'
import { collect } from './ask.ts'

type Response = OpenAI.Responses.Response
type Event = OpenAI.Responses.ResponseStreamEvent

const said = (text: string) => ({ type: 'message', role: 'user', content: [{ type: 'input_text', text }] })

function clientOf(server: TinyServer) {
  const client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })
  const params = (more: object) => ({
    model: server.model,
    input: 'Hello!',
    max_output_tokens: 60,
    temperature: 0,
    ...more,
  })
  return {
    responses: client.responses,
    create: (more: object = {}): Promise<Response> => client.responses.create(params(more)),
    streamed: async (more: object = {}): Promise<Event[]> =>
      collect(await client.responses.create({ ...params(more), stream: true })),
  }
}

/** Each thing that begins ends, within what it is a part of, and the numbers count. */
function expectStack(events: readonly Event[]): void {
  expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, i) => i))
  const ends: Readonly<Record<string, string>> = {
    'response.created': 'response.completed',
    'response.output_item.added': 'response.output_item.done',
    'response.content_part.added': 'response.content_part.done',
    'response.reasoning_text.delta': 'response.reasoning_text.done',
    'response.output_text.delta': 'response.output_text.done',
    'response.function_call_arguments.delta': 'response.function_call_arguments.done',
  }
  const open: string[] = []
  for (const { type } of events) {
    const end = ends[type]
    if (end !== undefined && open.at(-1) !== end) open.push(end)
    else if (open.at(-1) === type) open.pop()
    // What is empty has no deltas.
    else if (Object.values(ends).includes(type)) expect(type).toMatch(/(text|arguments)\.done$/)
  }
  expect(open).toEqual([])
}

describe('responses', () => {
  let server: TinyServer
  let api: ReturnType<typeof clientOf>
  beforeAll(async () => {
    server = await startTinyServer()
    api = clientOf(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it('of a text', async () => {
    const { id, status, output, incomplete_details: details, usage } = await api.create()
    expect([status, details]).toEqual(['completed', null])
    expect(id).toMatch(/^resp_/)
    expect(output).toMatchObject([
      { type: 'message', content: [{ type: 'output_text', text: expect.stringMatching(/./) }] },
    ])
    expect(usage!.total_tokens).toBe(usage!.input_tokens + usage!.output_tokens)
  })

  it('instructions are said again, and count', async () => {
    const plain = await api.create()
    const instructed = await api.create({ instructions: 'You are a helpful assistant that is brief.' })
    expect(instructed.instructions).toMatch(/brief/)
    expect(instructed.usage!.input_tokens).toBeGreaterThan(plain.usage!.input_tokens)
  })

  it('of a chat', async () => {
    const input = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello!' },
      { role: 'assistant', content: 'Hello! How can I help you?' },
      { role: 'user', content: 'Tell me of the sun.' },
    ]
    expect((await api.create({ input })).output_text.length).toBeGreaterThan(0)
  })

  it('of input_text', async () => {
    const input = [{ role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] }]
    expect((await api.create({ input })).output_text).toBe((await api.create()).output_text)
  })

  it('logprobs', async () => {
    const { output } = await api.create({ include: ['message.output_text.logprobs'], top_logprobs: 5 })
    const message = output.at(-1) as OpenAI.Responses.ResponseOutputMessage
    const [part] = message.content as OpenAI.Responses.ResponseOutputText[]
    expect(part!.logprobs!.length).toBeGreaterThan(0)
    for (const { top_logprobs: top } of part!.logprobs!) expect(top).toHaveLength(5)
  })

  it('streamed: from created to completed', async () => {
    const events = await api.streamed()
    expect(events[0]!.type).toBe('response.created')
    expect(events.at(-1)!.type).toBe('response.completed')
    expect(events.some(({ type }) => type === 'response.output_text.delta')).toBe(true)
    expectStack(events)
  })

  it('the deltas of a stream are the text of its end', async () => {
    const events = await api.streamed()
    const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
    const end = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent
    const [message] = end.response.output as OpenAI.Responses.ResponseOutputMessage[]
    expect(message!.content).toMatchObject([{ text }])
    expect(text).toBe((await api.create()).output_text)
  })

  it('streamed logprobs: on every delta', async () => {
    const events = await api.streamed({ include: ['message.output_text.logprobs'], top_logprobs: 3 })
    const deltas = events.filter((event) => event.type === 'response.output_text.delta')
    expect(deltas.length).toBeGreaterThan(0)
    for (const { logprobs } of deltas) {
      expect(logprobs.length).toBeGreaterThan(0)
      for (const { logprob, top_logprobs: top } of logprobs) {
        expect(logprob).toBeLessThanOrEqual(0)
        expect(top).toHaveLength(3)
      }
    }
  })

  it('max_output_tokens: incomplete', async () => {
    const { status, incomplete_details: details } = await api.create({ max_output_tokens: 3 })
    expect([status, details]).toEqual(['incomplete', { reason: 'max_output_tokens' }])
  })

  it('vLLM’s sampling parameters', async () => {
    const { status, output_text: text } = await api.create({
      temperature: 0.7,
      top_p: 0.9,
      top_k: 40,
      repetition_penalty: 1.2,
      seed: 42,
    })
    expect(['completed', 'incomplete']).toContain(status)
    expect(text.length).toBeGreaterThan(0)
  })

  it.each([
    [
      'with ids and statuses, as OpenAI has them',
      { id: 'msg_hist_1', status: 'completed' },
      { id: 'rs_hist_1', status: 'completed' },
    ],
    ['without, as Open Responses allows', {}, {}],
  ])('a history %s', async (_, ofMessage, ofReasoning) => {
    const { status } = await api.create({
      input: [
        said('You are a concise assistant.'),
        { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Acknowledged.' }], ...ofMessage },
        { type: 'reasoning', summary: [], encrypted_content: null, ...ofReasoning },
        said('Reply with one short sentence.'),
      ],
    })
    expect(status).toBe('completed')
  })

  it('a second turn with the first’s text', async () => {
    const first = await api.create()
    const input = [
      said('Hello!'),
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: first.output_text }] },
      { type: 'reasoning', summary: [], encrypted_content: null },
      said('And again?'),
    ]
    expect((await api.create({ input })).status).toBe('completed')
  })

  describe('kept', () => {
    it('store: true is the default', async () => {
      const { id } = await api.create()
      expect(await api.responses.retrieve(id)).toMatchObject({ id, status: 'completed' })
    })

    it('store: false is not found', async () => {
      const { id } = await api.create({ store: false })
      const missing = api.responses.retrieve(id)
      await expect(missing).rejects.toThrow(NotFoundError)
      await expect(missing).rejects.toThrow(/Response with id .* not found/)
    })

    it('in the background', async () => {
      const { id, status } = await api.create({ background: true })
      expect(status).toBe('queued')
      await vi.waitFor(async () => expect((await api.responses.retrieve(id)).status).toBe('completed'), 10_000)
    })

    it('the background needs the store', async () => {
      await expect(api.create({ background: true, store: false })).rejects.toThrow(/background.*store/s)
    })

    it('cancelled, it stays so', async () => {
      const { id } = await api.create({ background: true, min_tokens: 900, max_output_tokens: 900 })
      await vi.waitFor(async () => expect((await api.responses.retrieve(id)).status).toBe('in_progress'), 10_000)
      expect((await api.responses.cancel(id)).status).toBe('cancelled')
      await new Promise((resolve) => void setTimeout(resolve, 200))
      expect((await api.responses.retrieve(id)).status).toBe('cancelled')
    })

    it('one that was waited for cannot be cancelled', async () => {
      const { id } = await api.create()
      await expect(api.responses.cancel(id)).rejects.toThrow(/Cannot cancel a synchronous response/)
    })

    it('previous_response_id: the conversation goes on', async () => {
      const first = await api.create({ instructions: 'Be brief.' })
      const second = await api.create({ previous_response_id: first.id, input: 'Thank you!' })
      expect(second.usage!.input_tokens).toBeGreaterThan(first.usage!.input_tokens)
      expect(second).toMatchObject({ previous_response_id: first.id, instructions: null, status: 'completed' })
    })

    it('two go on from one, and know nothing of each other', async () => {
      const { id } = await api.create()
      const [one, other] = await Promise.all(
        ['Thank you very much!', 'Bye!'].map((input) => api.create({ previous_response_id: id, input })),
      )
      expect((await api.create({ previous_response_id: id, input: 'Bye!' })).output_text).toBe(other!.output_text)
      expect(one!.previous_response_id).toBe(other!.previous_response_id)
    })

    it.each(['previous_response_id', 'retrieve'])('what is not there: %s', async (how) => {
      const unknown = 'resp_of_nobody'
      const asked = how === 'retrieve' ? api.responses.retrieve(unknown) : api.create({ previous_response_id: unknown })
      await expect(asked).rejects.toThrow(NotFoundError)
    })

    it('an id that the request chose is found again, as long as it may be', async () => {
      const wanted = 'a'.repeat(128)
      const { id } = await api.create({ request_id: wanted })
      expect(id).toBe(`resp_${wanted}`)
      expect((await api.responses.retrieve(id)).id).toBe(id)
    })
  })

  describe('tools', () => {
    const [{ question, tool, input, answer }] = toyQuestions
    const tools = Object.entries(toyTools).map(([name, { description, input: schema }]) => ({
      type: 'function',
      name,
      description,
      parameters: z.toJSONSchema(schema, { target: 'draft-7' }),
    }))

    it.each([
      ['auto', 'auto'],
      ['required', 'required'],
      ['a named one', { type: 'function', name: tool }],
    ])('tool_choice: %s', async (_, choice) => {
      const { output } = await api.create({ input: question, tools, tool_choice: choice })
      expect(output).toMatchObject([{ type: 'function_call', name: tool, status: 'completed' }])
      const [call] = output as OpenAI.Responses.ResponseFunctionToolCall[]
      expect(JSON.parse(call!.arguments)).toEqual(input)
      const events = await api.streamed({ input: question, tools, tool_choice: choice })
      expectStack(events)
      const told = events.map((event) => (event.type === 'response.function_call_arguments.delta' ? event.delta : ''))
      expect(told.join('')).toBe(call!.arguments)
    })

    it('the result of a call makes the answer', async () => {
      const { output } = await api.create({ input: question, tools })
      const [call] = output as OpenAI.Responses.ResponseFunctionToolCall[]
      const result = { type: 'function_call_output', call_id: call!.call_id, output: toyTools[tool].execute(input) }
      const { output_text: text } = await api.create({ input: [said(question), call, result], tools })
      expect(text).toBe(answer)
    })

    it('a named tool that is none of them is refused', async () => {
      await expect(api.create({ tools, tool_choice: { type: 'function', name: 'nobody' } })).rejects.toThrow(
        BadRequestError,
      )
    })
  })

  it('text.format: json_schema', async () => {
    const schema = {
      type: 'object',
      properties: { event: { type: 'string', maxLength: 9 }, day: { enum: ['Friday', 'Monday'] } },
      required: ['event', 'day'],
      additionalProperties: false,
    }
    const { output_text: text } = await api.create({
      text: { format: { type: 'json_schema', name: 'calendar_event', schema, strict: true } },
    })
    expect(JSON.parse(text)).toEqual({ event: expect.any(String), day: expect.stringMatching(/day$/) })
  })

  it.each([{ json: { type: 'boolean' } }, { choice: ['true', 'false'] }, { regex: 'true|false' }])(
    'structured_outputs: %j',
    async (constraint) => {
      expect((await api.create({ structured_outputs: constraint })).output_text).toMatch(/^(true|false)$/)
    },
  )
})

describe('responses that think', () => {
  let server: TinyServer
  let api: ReturnType<typeof clientOf>
  beforeAll(async () => {
    server = await startTinyServer({ thinks: true })
    api = clientOf(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it('have an item of reasoning before the message, also behind one in the input', async () => {
    const { output, status } = await api.create({
      thinking_token_budget: 6,
      input: [
        { type: 'message', content: 'Hello.', role: 'user' },
        { type: 'reasoning', id: 'lol', content: [{ type: 'reasoning_text', text: 'A greeting.' }], summary: [] },
      ],
    })
    expect(status).toBe('completed')
    expect(output.map(({ type }) => type)).toEqual(['reasoning', 'message'])
  })

  it('count its tokens, streamed or not', async () => {
    const { usage } = await api.create({ thinking_token_budget: 6 })
    expect(usage!.output_tokens_details.reasoning_tokens).toBeGreaterThan(0)
    const events = await api.streamed({ thinking_token_budget: 6 })
    expectStack(events)
    const { response } = events.at(-1) as OpenAI.Responses.ResponseCompletedEvent
    expect(response.usage!.output_tokens_details).toEqual(usage!.output_tokens_details)
  })

  it('reasoning: {effort: "none"}: do not', async () => {
    const { output } = await api.create({ reasoning: { effort: 'none' } })
    expect(output.map(({ type }) => type)).toEqual(['message'])
  })
})
