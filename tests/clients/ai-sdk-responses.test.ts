/** The AI SDK through OpenAI's own provider, which speaks Responses unless told otherwise. */
import { createOpenAI } from '@ai-sdk/openai'
import type { OpenAIResponsesProviderOptions } from '@ai-sdk/openai'
import { Output, ToolLoopAgent, generateObject, generateText, isStepCount, streamText, tool } from 'ai'
import type { ModelMessage } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools

const toolsOf = (strict: boolean) => ({
  get_weather: tool({ strict, description: weather.description, inputSchema: weather.input, execute: weather.execute }),
  set_timer: tool({ strict, description: timer.description, inputSchema: timer.input, execute: timer.execute }),
})
const tools = toolsOf(false)

/** What the provider sends, as far as the tests look at it. */
interface SentResponse {
  readonly input: readonly { readonly type?: string; readonly role?: string }[]
  readonly previous_response_id?: string
}

describe('the AI SDK, Responses', () => {
  let server: TinyServer
  let provider: ReturnType<typeof createOpenAI>

  beforeAll(async () => {
    server = await startTinyServer()
    provider = createOpenAI({ baseURL: server.baseURL, apiKey: 'none', fetch: server.fetch })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const settings = (openai: OpenAIResponsesProviderOptions = {}) => ({
    model: provider(server.model),
    temperature: 0,
    maxOutputTokens: 200,
    maxRetries: 0,
    providerOptions: { openai: { ...openai } },
  })
  const sent = () => server.takeSent() as unknown as SentResponse[]

  describe('tool loops', () => {
    it.each([
      [false, {}],
      [true, {}],
      [false, { store: false }],
    ] as const)('generateText, strict: %s, %j', async (strict, options) => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const request = { ...settings(options), tools: toolsOf(strict), stopWhen: isStepCount(4), prompt: question }
        const result = await generateText(request)
        expect(result.steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
        expect(result.steps[0]?.toolCalls).toMatchObject([{ toolName: name, input }])
        expect(result.text).toBe(answer)
        expect(result.steps[1]?.usage.inputTokenDetails.cacheReadTokens).toBeGreaterThan(0)
      }
    })

    it('streamText, the parts of the input in order', async () => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const result = streamText({ ...settings(), tools, stopWhen: isStepCount(4), prompt: question })
        let inputText = ''
        let text = ''
        const kinds = new Set<string>()
        for await (const part of result.fullStream) {
          kinds.add(part.type)
          if (part.type === 'tool-input-delta') inputText += part.delta
          if (part.type === 'text-delta') text += part.text
        }
        expect(JSON.parse(inputText)).toEqual(input)
        expect((await result.steps)[0]?.toolCalls).toMatchObject([{ toolName: name, input }])
        expect(text).toBe(answer)
        expect(kinds).not.toContain('error')
        expect((await result.totalUsage).outputTokens).toBeGreaterThan(0)
      }
    })

    it('an agent, streamed and not', async () => {
      const agent = new ToolLoopAgent({ ...settings(), instructions: 'You are a helpful assistant.', tools })
      for (const { question, answer } of toyQuestions) {
        expect((await agent.generate({ prompt: question })).text).toBe(answer)
        expect(await (await agent.stream({ prompt: question })).text).toBe(answer)
      }
    })

    it.each(['required', { type: 'tool', toolName: 'set_timer' }] as const)('the choice %j', async (toolChoice) => {
      const whole = await generateText({ ...settings(), tools, toolChoice, prompt: smallTalk })
      expect(whole.finishReason).toBe('tool-calls')
      if (toolChoice !== 'required') expect(whole.toolCalls.map(({ toolName }) => toolName)).toEqual(['set_timer'])
      const stream = streamText({ ...settings(), tools, toolChoice, prompt: smallTalk })
      expect((await stream.toolCalls).map(({ input }) => input)).toEqual(whole.toolCalls.map(({ input }) => input))
    })
  })

  describe('conversations', () => {
    it('that refer to what the server has', async () => {
      sent()
      const messages: ModelMessage[] = [{ role: 'user', content: smallTalk }]
      const first = await generateText({ ...settings(), messages })
      messages.push(...first.response.messages, { role: 'user', content: toyQuestions[0].question })
      const second = await generateText({ ...settings(), messages })
      expect(sent()[1]?.input.map(({ type, role }) => type ?? role)).toEqual(['user', 'item_reference', 'user'])
      const plain = await generateText({ ...settings({ store: false }), messages })
      expect(second.text).toBe(plain.text)
    })

    it('that go on from the last response', async () => {
      const first = await generateText({ ...settings(), prompt: smallTalk })
      const { responseId } = first.providerMetadata!['openai'] as { responseId: string }
      const second = await generateText({ ...settings({ previousResponseId: responseId }), prompt: 'Hello again!' })
      expect(sent().at(-1)).toMatchObject({ previous_response_id: responseId })
      expect(second.usage.inputTokens).toBeGreaterThan(first.usage.inputTokens!)
      expect(second.text).not.toBe('')
    })
  })

  describe('structured output', () => {
    it('Output.object, streamed and not', async () => {
      for (const { text: prompt, person: wanted } of toyPersons) {
        const request = { ...settings(), prompt, output: Output.object({ schema: person }) }
        expect((await generateText(request)).output).toEqual(wanted)
        const stream = streamText(request)
        const partials: unknown[] = []
        for await (const partial of stream.partialOutputStream) partials.push(partial)
        expect(partials.at(-1)).toEqual(wanted)
      }
    })

    it('Output.choice, Output.json and generateObject', async () => {
      const { text: prompt, person: expected } = toyPersons[0]!
      const output = Output.choice({ options: ['sunny', 'rainy', 'snowy'] })
      expect(['sunny', 'rainy', 'snowy']).toContain((await generateText({ ...settings(), prompt, output })).output)
      expect((await generateText({ ...settings(), prompt, output: Output.json() })).output).toEqual(expected)
      expect((await generateObject({ ...settings(), prompt, schema: person })).object).toEqual(expected)
    })

    it.each(Object.entries(unseenSchemas))('%s that the model has never seen', async (_, schema) => {
      const request = {
        ...settings(),
        prompt: 'Tell me the weather in Oslo as JSON.',
        output: Output.object({ schema }),
      }
      const { output } = await generateText({ ...request, temperature: 1 })
      expect(schema.safeParse(output).error).toBeUndefined()
    })
  })

  it('the length limit, logprobs and errors', async () => {
    const short = await generateText({ ...settings(), maxOutputTokens: 2, prompt: smallTalk })
    expect(short.finishReason).toBe('length')
    const options = settings({ logprobs: 3 })
    const { providerMetadata } = await generateText({ ...options, prompt: smallTalk })
    const { logprobs } = providerMetadata!['openai'] as { logprobs: { token: string; top_logprobs: unknown[] }[][] }
    expect(logprobs[0]?.[0]?.top_logprobs).toHaveLength(3)
    const missing = generateText({ ...settings({ previousResponseId: 'resp_none' }), prompt: smallTalk })
    await expect(missing).rejects.toMatchObject({ statusCode: 404, message: expect.stringContaining('resp_none') })
  })
})

describe('the AI SDK, Responses of a model that thinks', () => {
  let server: TinyServer
  let provider: ReturnType<typeof createOpenAI>

  beforeAll(async () => {
    server = await startTinyServer({ thinks: true })
    provider = createOpenAI({ baseURL: server.baseURL, apiKey: 'none', fetch: thinkBriefly })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** The provider has no option for fields that it does not know. */
  const thinkBriefly: typeof fetch = (url, init) =>
    server.fetch(url, {
      ...init,
      body: JSON.stringify({ ...(JSON.parse(String(init?.body)) as object), thinking_token_budget: 5 }),
    })

  const settings = (openai: OpenAIResponsesProviderOptions = {}) => ({
    model: provider(server.model),
    maxOutputTokens: 60,
    maxRetries: 0,
    providerOptions: { openai: { forceReasoning: true, reasoningEffort: 'low', ...openai } as const },
  })
  const question = 'What is the capital of France?'

  it('shows the reasoning', async () => {
    const whole = await generateText({ ...settings(), prompt: question })
    expect(whole.reasoningText).not.toBe('')
    expect(whole.usage.outputTokenDetails.reasoningTokens).toBeGreaterThan(0)
    const stream = streamText({ ...settings(), prompt: question })
    const kinds: string[] = []
    for await (const { type } of stream.fullStream) if (kinds.at(-1) !== type) kinds.push(type)
    expect(kinds.filter((kind) => kind.startsWith('reasoning'))).toEqual([
      'reasoning-start',
      'reasoning-delta',
      'reasoning-end',
    ])
    expect(await stream.reasoningText).not.toBe('')
  })

  it.each([true, false])('takes it back, store: %s', async (store) => {
    const messages: ModelMessage[] = [{ role: 'user', content: question }]
    const first = await generateText({ ...settings({ store }), messages })
    messages.push(...first.response.messages, { role: 'user', content: 'And of Norway?' })
    server.takeSent()
    const second = await generateText({ ...settings({ store }), messages })
    const [request] = server.takeSent() as unknown as SentResponse[]
    const kinds = request!.input.map(({ type, role }) => type ?? role)
    expect(kinds).toEqual(
      store ? ['user', 'item_reference', 'item_reference', 'user'] : ['user', 'reasoning', 'assistant', 'user'],
    )
    const numKnown = first.usage.inputTokens! + first.usage.outputTokens!
    expect(second.usage.inputTokenDetails.cacheReadTokens).toBeGreaterThan(numKnown - 32)
  })
})
