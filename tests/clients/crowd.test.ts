/** Sixteen clients at once with requests of every kind: each answer fits what was asked, and is the one it gets alone. */
import { Ajv } from 'ajv'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

type Chat = OpenAI.ChatCompletionCreateParamsNonStreaming

interface Answer {
  readonly content: string
  readonly calls: readonly { readonly name: string; readonly arguments: string }[]
  readonly reason: string
}

interface Task {
  readonly request: Chat
  /** Says what is wrong with an answer. */
  check(answer: Answer): void
}

const ajv = new Ajv({ formats: { date: /^\d{4}-\d{2}-\d{2}$/ } })
const toSchema = (schema: z.ZodType): Record<string, unknown> => z.toJSONSchema(schema, { target: 'draft-7' })

function checkFits(schema: z.ZodType, json: string): void {
  const validate = ajv.compile(toSchema(schema))
  validate(JSON.parse(json))
  expect(validate.errors, json).toBeNull()
}

const tools: OpenAI.ChatCompletionFunctionTool[] = Object.entries(toyTools).map(([name, { description, input }]) => ({
  type: 'function',
  function: { name, description, parameters: toSchema(input) },
}))

function checkCalls({ calls, content, reason }: Answer): void {
  expect(calls.length).toBeGreaterThan(0)
  for (const call of calls) checkFits(toyTools[call.name as keyof typeof toyTools].input, call.arguments)
  expect({ content, reason }).toEqual({ content: '', reason: 'tool_calls' })
}

const ask = (content: string, more: Partial<Chat> = {}): Chat => ({
  model: 'octavo-tiny',
  messages: [{ role: 'user', content }],
  max_tokens: 200,
  temperature: 0,
  ...more,
})

const structured = (text: string, schema: z.ZodType): Task => ({
  request: ask(text, {
    response_format: { type: 'json_schema', json_schema: { name: 'answer', schema: toSchema(schema) } },
  }),
  check: ({ content, reason }) => {
    expect(reason).toBe('stop')
    checkFits(schema, content)
  },
})

const tasks: readonly Task[] = [
  ...toyPersons.map(({ text }) => structured(text, person)),
  ...Object.values(unseenSchemas).map((schema) => structured('Tell me the weather in Oslo as JSON.', schema)),
  ...toyQuestions.map(({ question }) => ({ request: ask(question, { tools }), check: checkCalls })),
  { request: ask(smallTalk, { tools, tool_choice: 'required' }), check: checkCalls },
  {
    request: ask(smallTalk, { tools, tool_choice: { type: 'function', function: { name: 'set_timer' } } }),
    check: (answer) => {
      expect(answer.calls.map(({ name }) => name)).toEqual(['set_timer'])
      checkFits(toyTools.set_timer.input, answer.calls[0]!.arguments)
    },
  },
  {
    request: ask(toyPersons[0]!.text, { response_format: { type: 'json_object' } }),
    check: ({ content }) => expect(JSON.parse(content)).toEqual(toyPersons[0]!.person),
  },
  ...['Translate to Chinese: The old teacher is reading a new book in the library.', 'What is 47 + 35?', smallTalk].map(
    (text): Task => ({
      request: ask(text),
      check: (answer) => expect(answer).toMatchObject({ content: expect.stringMatching(/./), calls: [] }),
    }),
  ),
]

describe('a crowd of clients', () => {
  let server: TinyServer

  beforeAll(async () => {
    server = await startTinyServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const createClient = (): OpenAI => new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })

  async function answerTo(client: OpenAI, request: Chat): Promise<Answer> {
    const { message, finish_reason: reason } = (await client.chat.completions.create(request)).choices[0]!
    const calls = (message.tool_calls ?? []).flatMap((call) => (call.type === 'function' ? [call.function] : []))
    return { content: message.content ?? '', calls, reason }
  }

  async function streamedAnswerTo(client: OpenAI, request: Chat): Promise<Answer> {
    const calls: { name: string; arguments: string }[] = []
    let content = ''
    let reason = ''
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      const { delta, finish_reason: end } = choices[0]!
      content += delta.content ?? ''
      for (const { index, function: part } of delta.tool_calls ?? []) {
        const call = (calls[index] ??= { name: '', arguments: '' })
        call.name += part?.name ?? ''
        call.arguments += part?.arguments ?? ''
      }
      reason = end ?? reason
    }
    return { content, calls, reason }
  }

  it('gets valid answers, none of them mixed up', async () => {
    const alone: Answer[] = []
    for (const { request, check } of tasks) {
      const answer = await answerTo(createClient(), request)
      check(answer)
      alone.push(answer)
    }
    const clients = Array.from({ length: 16 }, async (_, client) => {
      const openai = createClient()
      // Each begins elsewhere, so that all kinds run beside each other, and every other answer is streamed.
      for (let turn = 0; turn < tasks.length / 2; turn++) {
        const index = (client + turn) % tasks.length
        const { request, check } = tasks[index]!
        const answer = await ((client + turn) % 2 === 0 ? answerTo : streamedAnswerTo)(openai, request)
        check(answer)
        expect(answer).toEqual(alone[index])
      }
    })
    await Promise.all(clients)
  })
})
