/** Tools and parsed messages of chats, offline. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { joinMessages } from '../chat-format/message-delta.ts'
import type { ToolChoice } from '../chat-format/tool-choice.ts'
import { InvalidRequestError } from '../errors.ts'
import type { RequestOutput } from '../sequence/outputs.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { OutputKind } from './engine-client.ts'
import { LLM } from './llm.ts'

const greedy = { temperature: 0 } as const
const question = [{ role: 'user', content: 'What is the weather in Oslo?' }] as const
const tool = (name: string, properties: Record<string, unknown>): ToolDefinition => ({
  type: 'function',
  function: {
    name,
    description: 'Returns the weather of a city.',
    parameters: { type: 'object', properties, required: Object.keys(properties) },
  },
})
const tools = [tool('get_weather', { city: { type: 'string' } })]
const call = { index: 0, name: 'get_weather', arguments: '{"city": "Oslo"}' }

describe('a chat', () => {
  let llm: LLM

  beforeAll(async () => {
    llm = await LLM.load('octavo-tiny', { seed: 7 })
  }, 60_000)

  afterAll(() => llm.shutdown())

  it('has its message in parts: calls, or content', async () => {
    const [output] = await llm.chat(question, greedy, { tools })
    expect(output?.outputs[0]).toMatchObject({
      text: expect.stringContaining('<tool_call>'),
      finishReason: 'stop',
      message: { reasoning: '', content: '', toolCalls: [{ ...call, id: expect.stringMatching(/^call_/) }] },
    })
    const [plain] = await llm.chat(question, greedy)
    const { text, message } = plain!.outputs[0]!
    expect(message).toEqual({ reasoning: '', content: text, toolCalls: [] })
    expect((await llm.chat(question, greedy, { tools, parseOutput: false }))[0]?.outputs[0]?.message).toBeNull()
    expect((await llm.generate('The', { maxTokens: 1 }))[0]?.outputs[0]?.message).toBeNull()
  })

  it('goes on after a call, with tools as JSON text too', async () => {
    const messages = [
      ...question,
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', function: { name: call.name, arguments: call.arguments } }],
      },
      { role: 'tool', tool_call_id: 'a', content: '{"city": "Oslo", "condition": "snowy", "temperature": -4}' },
    ] as const
    const [output] = await llm.chat(messages, greedy, { tools: JSON.stringify(tools) })
    expect(output?.outputs[0]?.message).toEqual({
      reasoning: '',
      content: 'It is snowy in Oslo, -4 degrees.',
      toolCalls: [],
    })
  })

  it.each<OutputKind>(['delta', 'parts', 'cumulative', 'final'])(
    'has the same message with %s outputs',
    async (kind) => {
      const outputs: RequestOutput[] = []
      const request = {
        requestId: kind,
        prompt: { type: 'chat', messages: question, tools, parseOutput: true },
        params: { ...greedy, maxTokens: null, logprobs: 1 },
        outputKind: kind,
      } as const
      for await (const output of llm.engine.generate(request)) outputs.push(output)
      const messages = outputs.flatMap((output) => output.outputs.map(({ message }) => message!))
      const message = kind === 'delta' || kind === 'parts' ? joinMessages(messages) : messages.at(-1)
      expect(message).toMatchObject({ content: '', toolCalls: [call] })
      if (kind === 'cumulative') expect(messages.length).toBeGreaterThan(5)
    },
  )

  it('calls what it must', async () => {
    const callOf = async (toolChoice: ToolChoice) =>
      (await llm.chat([{ role: 'user', content: 'Hello, who are you?' }], greedy, { tools, toolChoice }))[0]?.outputs[0]
        ?.message?.toolCalls
    expect(await callOf('required')).toMatchObject([{ name: 'get_weather' }])
    expect(await callOf({ name: 'get_weather' })).toMatchObject([{ name: 'get_weather' }])
    expect(await callOf('auto')).toEqual([])
    expect(await callOf('none')).toEqual([])
  })

  it.each<[string, readonly unknown[] | string | undefined, ToolChoice, RegExp]>([
    ['no tools', undefined, 'required', /^toolChoice needs tools\.$/],
    ['a name that is none', tools, { name: 'f' }, /^toolChoice names "f", which is none of the tools \(get_weather\)/],
    ['an allowed one that is none', tools, { allowed: ['f'], mode: 'auto' }, /names "f"/],
    ['a tool without a name', [{ type: 'function', function: {} }], 'auto', /^tools\[0\] must be/],
    ['two of one name', [...tools, ...tools], 'auto', /^tools\[1\] has the name "get_weather" of another tool/],
    ['text that is no list', '{"a": 1}', 'auto', /^tools must be an array of tools/],
  ])('refuses %s', async (_, given, toolChoice, message) => {
    const options = { tools: given as readonly ToolDefinition[], toolChoice }
    const asking = llm.chat(question, greedy, options)
    await expect(asking).rejects.toThrow(InvalidRequestError)
    await expect(llm.chat(question, greedy, options)).rejects.toThrow(message)
  })

  it('refuses tools where the template has no place for them, unless its text is not read', async () => {
    const chatTemplate = '{% for m in messages %}{{ m.content }}{% endfor %}'
    const asking = llm.chat(question, { maxTokens: 1 }, { tools, chatTemplate })
    await expect(asking).rejects.toThrow(/^tools: .*template/i)
    const [raw] = await llm.chat(question, { maxTokens: 1 }, { tools, chatTemplate, parseOutput: false })
    expect(raw?.outputs[0]?.message).toBeNull()
  })
})
