import { uniformAt } from '@octavo/core'
import { errorBodySchema } from '@octavo/sdk/protocol'
import { afterAll, describe, expect, it } from 'vitest'
import { openLiveChat } from '../testing/live-chat.ts'
import { readEvents } from '../testing/read-events.ts'

const chat = await openLiveChat()

afterAll(() => chat.close())

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 9 }, day: { enum: ['today', 1, null] } },
  required: ['city'],
  additionalProperties: false,
}
const tool = { type: 'function', function: { name: 'get_weather', description: 'd', parameters, strict: true } }
const named = { type: 'function', function: { name: 'get_weather' } }
const messages = [
  { role: 'user', content: 'What is the weather in Oslo?' },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
  },
  { role: 'tool', tool_call_id: 'a', content: '{"a": 1}' },
]
const common = {
  'chat/completions': { max_tokens: 6, seed: 1, n: 2, temperature: 1 },
  completions: { max_tokens: 6, seed: 1, n: 2, temperature: 1 },
  responses: { max_output_tokens: 6, seed: 1, temperature: 1 },
  messages: { model: 'octavo-tiny', max_tokens: 6, seed: 1, temperature: 1 },
  'messages/count_tokens': { model: 'octavo-tiny' },
}
const tag = {
  type: 'structural_tag',
  format: { type: 'tag', begin: '<a>', content: { type: 'json_schema', json_schema: parameters }, end: '</a>' },
}

/** What works; a mutation of it may not, but it ends in an answer that says so. */
const chats: Record<string, unknown>[] = [
  { messages, tools: [tool], tool_choice: 'auto', parallel_tool_calls: false, stream: true },
  { messages, tools: [tool], tool_choice: named, logprobs: true, top_logprobs: 2 },
  { messages, tools: [tool], tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named] } } },
  { messages, response_format: { type: 'json_schema', json_schema: { name: 'n', schema: parameters, strict: true } } },
  { messages, response_format: tag, stream: true, stream_options: { include_usage: true } },
  { messages, tools: [tool], response_format: { type: 'json_object' }, include_reasoning_content: true },
  { messages, structured_outputs: { json: parameters, disable_any_whitespace: true }, reasoning_effort: 'low' },
  { messages, structured_outputs: { regex: '(ab|c)+[0-9]{2,3}' }, stream: true },
  { messages, structured_outputs: { choice: ['yes', 'no'] }, thinking_token_budget: -1 },
  { messages, structured_outputs: { grammar: 'root ::= "a" b\nb ::= [0-9]+' }, stop: ['a'] },
]
const texts = [
  { prompt: ['a', 'b'], structured_outputs: { json: parameters }, echo: true },
  { prompt: 'a', response_format: { type: 'json_object' }, logprobs: 2 },
]
const flatTool = { type: 'function', name: 'get_weather', description: 'd', parameters, strict: true }
const items = [
  { role: 'user', content: [{ type: 'input_text', text: 'What is the weather in Oslo?' }] },
  {
    type: 'reasoning',
    summary: [{ type: 'summary_text', text: 'hm' }],
    content: [{ type: 'reasoning_text', text: 'hm' }],
  },
  { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
  { type: 'function_call_output', call_id: 'a', output: '{"a": 1}' },
  { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: 'It is.' },
]
const responses: Record<string, unknown>[] = [
  { input: 'Hello!', instructions: 'Be brief.', metadata: { a: 'b' }, reasoning: { effort: 'low', summary: 'auto' } },
  { input: items, tools: [flatTool], tool_choice: 'auto', stream: true, truncation: 'auto' },
  { input: items, tools: [flatTool], tool_choice: { type: 'function', name: 'get_weather' }, store: false },
  {
    input: items,
    text: { format: { type: 'json_schema', name: 'n', schema: parameters, strict: true } },
    stream: true,
  },
  { input: items, include: ['message.output_text.logprobs'], top_logprobs: 2, user: 'u', service_tier: 'auto' },
  { input: items, structured_outputs: { regex: '(ab|c)+[0-9]{2,3}' }, background: true },
]
const turns = [
  {
    role: 'user',
    content: [{ type: 'text', text: 'What is the weather in Oslo?', cache_control: { type: 'ephemeral' } }],
  },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'hm', signature: 's' },
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', id: 'a', name: 'get_weather', input: { city: 'Oslo' } },
    ],
  },
  { role: 'system', content: 'Be brief.' },
  {
    role: 'user',
    content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'no' }], is_error: true }],
  },
]
const blockTool = { name: 'get_weather', description: 'd', input_schema: parameters, strict: true }
const blockChats: Record<string, unknown>[] = [
  { messages: turns, system: [{ type: 'text', text: 'Be good.' }], tools: [blockTool], stream: true },
  { messages: turns, tools: [blockTool], tool_choice: { type: 'tool', name: 'get_weather' }, stop_sequences: ['a'] },
  { messages: turns, tools: [blockTool], tool_choice: { type: 'any', disable_parallel_tool_use: true }, stream: true },
  { messages: turns, output_config: { effort: 'low', format: { type: 'json_schema', schema: parameters } } },
  {
    messages: [...turns, { role: 'assistant', content: 'It is' }],
    thinking: { type: 'enabled', budget_tokens: 5, display: 'omitted' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    metadata: { user_id: 'u' },
  },
]
const requests = [
  ...blockChats.map((body) => ['messages', body] as const),
  ...blockChats.slice(0, 3).map((body) => ['messages/count_tokens', body] as const),
  ...chats.map((body) => ['chat/completions', body] as const),
  ...texts.map((body) => ['completions', body] as const),
  ...responses.map((body) => ['responses', body] as const),
]
const junk: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e308,
  '',
  'a',
  '\u0000',
  '\ud800',
  '{',
  '[a-',
  'root ::= root',
  '</tool_call>',
  'x'.repeat(70_000),
  [],
  [[]],
  [null],
  {},
  { type: 'object' },
  { $ref: '#' },
  { type: 'function' },
  { allOf: [{ not: {} }] },
  JSON.parse(`${'{"a":'.repeat(60)}1${'}'.repeat(60)}`),
  JSON.parse(`${'{"items":'.repeat(60)}{}${'}'.repeat(60)}`),
  Array.from({ length: 2000 }, (_, i) => `c${i}`),
]

/** The same with a change at a random place. */
function mutated(value: unknown, uniform: () => number): unknown {
  const isLeaf = typeof value !== 'object' || value === null
  if (isLeaf || Object.keys(value).length === 0 || uniform() < 0.15) return junk[Math.floor(uniform() * junk.length)]
  const copy = structuredClone(value) as Record<string, unknown>
  const keys = Object.keys(copy)
  const key = keys[Math.floor(uniform() * keys.length)]!
  if (uniform() < 0.1) {
    if (Array.isArray(copy)) copy.push(copy[Number(key)])
    else delete copy[key]
  } else copy[key] = mutated(copy[key], uniform)
  return copy
}

function endOf(status: number, body: string): string {
  if (status !== 200) return `${status}: ${errorBodySchema.parse(JSON.parse(body)).error.message}`
  if (!/^(data|event): /.test(body)) return '200'
  const events = readEvents(body.replaceAll(/^event: .*\n/gm, ''))
  expect(events.at(-1)).toSatisfy((last) => last === '[DONE]' || isLastOfMessage(last))
  const error = events.map((event) => errorBodySchema.safeParse(event)).find(({ success }) => success)
  return error?.data === undefined ? '200' : `event: ${error.data.error.message}`
}

function isLastOfMessage(event: unknown): boolean {
  const type = typeof event === 'object' && event !== null && 'type' in event ? event.type : null
  return type === 'message_stop' || type === 'error'
}

describe('requests of every kind', () => {
  const send = async (path: keyof typeof common, body: object) => {
    const { status, body: answer } = await chat.send({ ...common[path], ...body }, path)
    return endOf(status, answer)
  }

  it('are answered', async () => {
    for (const [path, body] of requests) expect(await send(path, body), JSON.stringify(body)).toBe('200')
  })

  it('that were changed somewhere are answered too, or refused with a 400', async () => {
    const ends: string[] = []
    const check = async (number: number): Promise<void> => {
      let draws = 0
      const uniform = (): number => uniformAt(number, draws++)
      const [path, original] = requests[Math.floor(uniform() * requests.length)]!
      const body = mutated(original, uniform)
      const isBody = typeof body === 'object' && body !== null && !Array.isArray(body)
      const end = isBody ? await send(path, { ...body }) : '400'
      expect(end, JSON.stringify(body)?.slice(0, 2000)).toMatch(/^(200$|400)/)
      ends.push(end)
    }
    for (let at = 0; at < 600; at += 20) await Promise.all(Array.from({ length: 20 }, (_, i) => check(at + i)))
    for (const pattern of [/^200/, /^400/]) expect(ends.filter((end) => pattern.test(end)).length).toBeGreaterThan(40)
    for (const [path, body] of requests) expect(await send(path, body)).toBe('200')
  }, 240_000)
})
