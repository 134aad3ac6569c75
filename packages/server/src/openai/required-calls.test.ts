import { uniformAt } from '@octavo/core'
import { afterAll, describe, expect, it } from 'vitest'
import { openLiveChat } from '../testing/live-chat.ts'

const chat = await openLiveChat()

afterAll(() => chat.close())

const closed = { additionalProperties: false }
const tool = (name: string, properties: object, more: object = {}) => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties, required: Object.keys(properties), ...closed }, ...more },
})
const namesOf = (list: readonly { readonly function: { readonly name: string } }[]): string[] =>
  list.map(({ function: { name } }) => name)
const tools = [
  tool('get_weather', { city: { enum: ['Oslo', 'Bonn', 'Łódź'] } }),
  tool('add', { a: { type: 'integer' }, b: { type: 'integer' } }),
  tool('mcp/set.timer', { when: { type: 'object', properties: { minutes: { type: 'number' } }, ...closed } }),
  { type: 'function', function: { name: 'now' } },
]
const named = (name: string) => ({ type: 'function', function: { name } })
const messages = [{ role: 'user', content: 'Tell me something nice.' }]

/** What a call's arguments must be, checked by hand. */
function checkCall({ name, arguments: text }: { name: string; arguments: string }): void {
  const args = JSON.parse(text) as Record<string, unknown>
  expect(namesOf(tools)).toContain(name)
  if (name === 'get_weather') expect(['Oslo', 'Bonn', 'Łódź']).toContain(args['city'])
  if (name === 'add') expect([args['a'], args['b']].every(Number.isInteger)).toBe(true)
  if (name === 'mcp/set.timer') expect(args['when']).toBeTypeOf('object')
  const keys = { get_weather: ['city'], add: ['a', 'b'], 'mcp/set.timer': ['when'] }[name]
  if (keys !== undefined) expect(Object.keys(args).toSorted()).toEqual(keys)
}

describe('calls that must be made', () => {
  it('are calls of the tools, with their arguments, streamed or not', async () => {
    const check = async (seed: number): Promise<void> => {
      const choice = ['required', named('add'), named('mcp/set.timer')][seed % 3]
      const parallel = uniformAt(seed, 0) < 0.5
      const body = { messages, tools, tool_choice: choice, parallel_tool_calls: parallel, seed, temperature: 1.2, n: 2 }
      const [whole, streamed] = await Promise.all([chat.whole(body), chat.streamed(body)])
      expect(streamed).toEqual(whole)
      for (const { toolCalls, content, finishReason } of whole) {
        expect(content).toBe('')
        if (finishReason === 'length') continue
        expect(finishReason).toBe(choice === 'required' ? 'tool_calls' : 'stop')
        expect(toolCalls.length).toBeGreaterThan(0)
        if (!parallel || choice !== 'required') expect(toolCalls).toHaveLength(1)
        toolCalls.forEach(checkCall)
        if (typeof choice === 'object') expect(toolCalls[0]!.name).toBe(choice.function.name)
      }
    }
    for (let at = 0; at < 60; at += 12) await Promise.all(Array.from({ length: 12 }, (_, i) => check(at + i)))
  }, 120_000)

  it('leave no markup as content where they are cut off', async () => {
    const cut = (max_tokens: number) =>
      chat.whole({ messages, tools, tool_choice: 'required', temperature: 0, max_tokens })
    for (const [choice] of await Promise.all([1, 2, 3, 5, 8, 10, 12].map(cut)))
      expect(choice).toMatchObject({ content: '', finishReason: 'length' })
  })

  it('may be of some tools only', async () => {
    const allowed = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named('get_weather')] } }
    const [choice] = await chat.whole({ messages, tools, tool_choice: allowed, temperature: 0 })
    expect(choice!.toolCalls.map(({ name }) => name)).toEqual(['get_weather'])
    expect(choice!.finishReason).toBe('tool_calls')
  })

  it('are held to the schema of a strict tool where they may be made', async () => {
    const strict = [tool('get_weather', { city: { enum: ['Bonn'] } }, { strict: true })]
    const ask = { messages: [{ role: 'user', content: 'What is the weather in Oslo?' }], temperature: 0 }
    const [call] = (await chat.whole({ ...ask, tools: strict }))[0]!.toolCalls
    expect(call).toMatchObject({ name: 'get_weather', arguments: expect.stringContaining('Bonn') })
    const [free] = await chat.whole({
      ...ask,
      messages: [{ role: 'user', content: 'Hello, who are you?' }],
      tools: strict,
    })
    expect(free).toMatchObject({ toolCalls: [], finishReason: 'stop' })
  })

  it('or an answer of a form: one of the two, with tools and a format', async () => {
    const schema = { type: 'object', properties: { nice: { enum: ['yes', 'no'] } }, required: ['nice'], ...closed }
    const format = { type: 'json_schema', json_schema: { name: 'nice', schema } }
    const seen = new Set<string>()
    for (const [seed, question] of ['What is the weather in Oslo?', 'Are you nice?', 'Hello!'].entries()) {
      const body = { messages: [{ role: 'user', content: question }], tools, response_format: format, seed }
      const [whole, streamed] = [await chat.whole(body), await chat.streamed(body)]
      expect(streamed).toEqual(whole)
      const { content, toolCalls } = whole[0]!
      if (content === '') toolCalls.forEach(checkCall)
      else expect(['yes', 'no']).toContain((JSON.parse(content) as { nice: string }).nice)
      seen.add(content === '' ? 'call' : 'answer')
    }
    expect(seen).toContain('call')
    const [held] = await chat.whole({ messages, tools, response_format: format, tool_choice: 'none', temperature: 0 })
    expect(JSON.parse(held!.content)).toMatchObject({ nice: expect.stringMatching(/^(yes|no)$/) })
  })

  it('cannot be held where no value fits, and are refused before a stream begins', async () => {
    const impossible = [tool('f', { x: { not: {} } })]
    const body = { messages, tools: impossible, tool_choice: 'required', stream: true }
    const { status, body: text } = await chat.send(body)
    expect(status).toBe(400)
    expect(JSON.parse(text)).toMatchObject({ error: { param: 'tools', message: expect.stringMatching(/"f"/) } })
    const regex = await chat.send({ messages, structured_outputs: { regex: '(a' }, stream: true })
    expect(regex.status).toBe(400)
    expect(JSON.parse(regex.body)).toMatchObject({ error: { param: 'structured_outputs' } })
  })

  it('need a template that has a place for tools', async () => {
    const template = '{% for m in messages %}{{ m.content }}{% endfor %}'
    const plain = await openLiveChat({ chatTemplate: template })
    for (const choice of ['auto', 'required', undefined]) {
      const { status, body } = await plain.send({ messages, tools, ...(choice && { tool_choice: choice }) })
      expect(status).toBe(400)
      expect(JSON.parse(body)).toMatchObject({ error: { param: 'tools' } })
    }
    const none = await plain.send({ messages, tools, tool_choice: 'none', max_tokens: 1 })
    expect(none.status).toBe(200)
    await plain.close()
  })
})
