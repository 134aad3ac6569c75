/** What the compliance suite of Open Responses (openresponses.org) asks for, over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'

const count = z.int().min(0)

/** Of its schema of a response: what must be there, and of which kind. */
const resource = z.looseObject({
  id: z.string(),
  object: z.literal('response'),
  created_at: z.int(),
  completed_at: z.int().nullable(),
  status: z.string(),
  incomplete_details: z.object({ reason: z.string() }).nullable(),
  model: z.string(),
  previous_response_id: z.string().nullable(),
  instructions: z.string().nullable(),
  output: z.array(z.looseObject({ type: z.string(), id: z.string() })),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  tools: z.array(
    z.object({
      type: z.literal('function'),
      name: z.string(),
      description: z.string().nullable(),
      parameters: z.record(z.string(), z.unknown()).nullable(),
      strict: z.boolean().nullable(),
    }),
  ),
  tool_choice: z.union([z.enum(['none', 'auto', 'required']), z.looseObject({ type: z.string() })]),
  truncation: z.enum(['auto', 'disabled']),
  parallel_tool_calls: z.boolean(),
  text: z.looseObject({ format: z.looseObject({ type: z.string() }), verbosity: z.string().optional() }),
  top_p: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
  top_logprobs: count,
  temperature: z.number(),
  reasoning: z.object({ effort: z.string().nullable(), summary: z.string().nullable() }).nullable(),
  usage: z
    .object({
      input_tokens: count,
      output_tokens: count,
      total_tokens: count,
      input_tokens_details: z.looseObject({ cached_tokens: count }),
      output_tokens_details: z.looseObject({ reasoning_tokens: count }),
    })
    .nullable(),
  max_output_tokens: count.nullable(),
  max_tool_calls: count.nullable(),
  store: z.boolean(),
  background: z.boolean(),
  service_tier: z.string(),
  metadata: z.unknown(),
  safety_identifier: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
})

const user = (content: string) => ({ type: 'message', role: 'user', content })
const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'Get the weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

const requests = {
  'a text': { input: [user('Say hello in exactly 3 words.')] },
  'a system prompt': {
    input: [{ type: 'message', role: 'system', content: 'You are a pirate.' }, user('Say hello.')],
  },
  'a tool': { input: [user('What is the weather in Oslo?')], tools: [weather] },
  'several turns': {
    input: [
      user('My name is Alice.'),
      { type: 'message', role: 'assistant', content: 'Hello Alice! How can I help you today?' },
      user('What is my name?'),
    ],
  },
}

/** What every event has. */
const eventSchema = z.looseObject({
  type: z.string(),
  sequence_number: count,
  response: resource.optional(),
  item: z.looseObject({ type: z.string(), status: z.string() }).optional(),
  item_id: z.string().optional(),
  output_index: count.optional(),
  delta: z.string().optional(),
})

type Event = z.infer<typeof eventSchema>

/** @throws where a stream is not framed as the specification says */
function readEvents(body: string): Event[] {
  const frames = body.split('\n\n').filter((frame) => frame !== '')
  expect(frames.pop()).toBe('data: [DONE]')
  return frames.map((frame, i) => {
    const [, name, data] = /^event: (.*)\ndata: (.*)$/.exec(frame)!
    const event = eventSchema.parse(JSON.parse(data!))
    expect(event).toMatchObject({ type: name, sequence_number: i })
    return event
  })
}

describe('Open Responses', () => {
  let server: TinyServer

  beforeAll(async () => {
    server = await startTinyServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function post(body: object) {
    const response = await fetch(`${server.baseURL}/responses`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer none' },
      body: JSON.stringify({ model: server.model, temperature: 0, ...body }),
    })
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
  }

  it.each(Object.entries(requests))('%s, whole and streamed', async (name, request) => {
    const answer = await post(request)
    expect(answer.type).toContain('application/json')
    const whole = resource.parse(JSON.parse(answer.text))
    expect(whole.status).toBe('completed')
    const kinds = whole.output.map(({ type }) => type)
    expect(kinds).toEqual([name === 'a tool' ? 'function_call' : 'message'])
    const stream = await post({ ...request, stream: true })
    expect(stream.type).toContain('text/event-stream')
    const events = readEvents(stream.text)
    expect(events[0]?.type).toBe('response.created')
    expect(events.at(-1)?.type).toBe('response.completed')
    expect(events.at(-1)?.response?.output.map(({ type }) => type)).toEqual(kinds)
    const part = name === 'a tool' ? 'function_call_arguments' : 'output_text'
    const types = [...new Set(events.map(({ type }) => type))].filter((type) => !/content_part/.test(type))
    expect(types.slice(2, -1)).toEqual([
      'response.output_item.added',
      `response.${part}.delta`,
      `response.${part}.done`,
      'response.output_item.done',
    ])
    const items = events.flatMap(({ item }) => item ?? [])
    expect(items.map(({ status }) => status)).toEqual(['in_progress', 'completed'])
  })

  it('says what was sampled with where the request did not', async () => {
    const { text } = await post({ input: 'Hello!', temperature: null })
    // Its generation_config.json has do_sample: false.
    expect(JSON.parse(text)).toMatchObject({ temperature: 0, top_p: 1 })
  })

  it('an image, which this server has no models for', async () => {
    const content = [{ type: 'input_image', image_url: 'data:image/png;base64,' }]
    const { status, text } = await post({ input: [{ type: 'message', role: 'user', content }] })
    expect(status).toBe(400)
    expect(JSON.parse(text)).toMatchObject({ error: { message: expect.stringContaining('input_image') } })
  })

  it('calls only the tools that are allowed', async () => {
    const timer = { ...weather, name: 'set_timer', description: 'Set a timer.' }
    const choice = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'set_timer' }] }
    const { text } = await post({ ...requests['a tool'], tools: [weather, timer], tool_choice: choice })
    const { output } = resource.parse(JSON.parse(text))
    expect(new Set(output.map((item) => item['name']))).toEqual(new Set(['set_timer']))
  })

  it('goes on from a response that the server has', async () => {
    const first = resource.parse(JSON.parse((await post({ input: 'My name is Alice.' })).text))
    const next = await post({ input: 'What is my name?', previous_response_id: first.id })
    const { usage, previous_response_id: previous } = resource.parse(JSON.parse(next.text))
    expect(previous).toBe(first.id)
    expect(usage!.input_tokens).toBeGreaterThan(first.usage!.total_tokens)
  })
})
