/** The AI SDK through its provider for compatible servers: loops, choices, and all its kinds of output. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { Output, ToolLoopAgent, generateObject, generateText, isStepCount, streamObject, streamText, tool } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools

const toolsOf = (strict: boolean) => ({
  get_weather: tool({
    strict,
    description: weather.description,
    inputSchema: weather.input,
    execute: weather.execute,
  }),
  set_timer: tool({ strict, description: timer.description, inputSchema: timer.input, execute: timer.execute }),
})
const tools = toolsOf(false)

describe('the AI SDK', () => {
  let server: TinyServer
  /** One that says the server holds JSON schemas, and one that does not know. */
  let providers: Record<'structured' | 'plain', ReturnType<typeof createOpenAICompatible>>

  beforeAll(async () => {
    server = await startTinyServer()
    const common = { name: 'octavo', baseURL: server.baseURL, fetch: server.fetch, includeUsage: true }
    providers = {
      structured: createOpenAICompatible({ ...common, supportsStructuredOutputs: true }),
      plain: createOpenAICompatible(common),
    }
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const settings = (provider: keyof typeof providers = 'structured') => ({
    model: providers[provider](server.model),
    temperature: 0,
    maxOutputTokens: 200,
    maxRetries: 0,
  })

  describe('tool loops', () => {
    it.each([false, true])('generateText, strict: %s', async (strict) => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const result = await generateText({
          ...settings(),
          tools: toolsOf(strict),
          stopWhen: isStepCount(4),
          prompt: question,
        })
        expect(result.steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
        expect(result.steps[0]?.toolCalls).toMatchObject([{ toolName: name, input }])
        expect(result.text).toBe(answer)
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

    it('a loop that ends in an object', async () => {
      const [{ question, tool: name }] = toyQuestions
      const result = await generateText({
        ...settings(),
        tools,
        stopWhen: isStepCount(4),
        prompt: question,
        // The model, left to itself, would call again and again.
        prepareStep: ({ stepNumber }) => (stepNumber === 0 ? {} : { toolChoice: 'none' }),
        output: Output.object({ schema: unseenSchemas['an enum']! }),
      })
      expect(result.steps[0]?.toolCalls).toMatchObject([{ toolName: name }])
      expect(unseenSchemas['an enum']!.safeParse(result.output).error).toBeUndefined()
    })
  })

  describe('choices', () => {
    it.each(['required', { type: 'tool', toolName: 'set_timer' }] as const)(
      '%j: calls where it would talk',
      async (choice) => {
        const whole = await generateText({ ...settings(), tools, toolChoice: choice, prompt: smallTalk })
        // As OpenAI and vLLM have it: a named call is what was asked for, and ends with "stop".
        expect(whole.finishReason).toBe(choice === 'required' ? 'tool-calls' : 'stop')
        expect(whole.toolCalls.length).toBeGreaterThan(0)
        for (const call of whole.toolCalls) expect(call).not.toMatchObject({ invalid: true })
        if (choice !== 'required') expect(whole.toolCalls.map(({ toolName }) => toolName)).toEqual(['set_timer'])
        const stream = streamText({ ...settings(), tools, toolChoice: choice, prompt: smallTalk })
        const inputsOf = (calls: readonly { toolName: string; input: unknown }[]) =>
          calls.map(({ toolName, input }) => ({ toolName, input }))
        expect(inputsOf(await stream.toolCalls)).toEqual(inputsOf(whole.toolCalls))
      },
    )

    it('none: talks where it would call', async () => {
      const prompt = toyQuestions[0].question
      expect((await generateText({ ...settings(), tools, toolChoice: 'none', prompt })).toolCalls).toEqual([])
    })

    it('several calls in one turn, run side by side', async () => {
      const result = await generateText({
        ...settings(),
        tools,
        toolChoice: 'required',
        prompt: toyQuestions[0].question,
        providerOptions: { octavo: { min_tokens: 48 } },
      })
      expect(result.toolCalls.length).toBeGreaterThan(1)
      expect(result.toolResults).toHaveLength(result.toolCalls.length)
    })
  })

  describe('structured output', () => {
    const { text, person: expected } = toyPersons[0]!

    it.each([
      ['structured', 'json_schema'],
      ['plain', 'json_object'],
    ] as const)('Output.object, %s: %s', async (provider, format) => {
      for (const { text: prompt, person: wanted } of toyPersons) {
        const request = { ...settings(provider), prompt, output: Output.object({ schema: person }) }
        expect((await generateText(request)).output).toEqual(wanted)
        const stream = streamText(request)
        const partials: unknown[] = []
        for await (const partial of stream.partialOutputStream) partials.push(partial)
        expect(partials.at(-1)).toEqual(wanted)
        expect(await stream.output).toEqual(wanted)
      }
      for (const sent of server.takeSent().slice(-4)) expect(sent.response_format?.type).toBe(format)
    })

    it('Output.array, element by element', async () => {
      const output = Output.array({ element: z.object({ size: z.int().min(0).max(99) }), minItems: 2, maxItems: 3 })
      const stream = streamText({ ...settings(), prompt: text, output })
      const elements: unknown[] = []
      for await (const element of stream.elementStream) elements.push(element)
      expect(elements.length).toBeGreaterThan(1)
      expect((await generateText({ ...settings(), prompt: text, output })).output).toEqual(elements)
    })

    it('Output.choice', async () => {
      const output = Output.choice({ options: ['sunny', 'rainy', 'snowy'] })
      const { output: chosen } = await generateText({ ...settings(), prompt: toyQuestions[0].question, output })
      expect(['sunny', 'rainy', 'snowy']).toContain(chosen)
    })

    it.each(['structured', 'plain'] as const)('Output.json, %s', async (provider) => {
      const result = await generateText({ ...settings(provider), prompt: text, output: Output.json() })
      expect(result.output).toEqual(expected)
    })

    it('generateObject and streamObject', async () => {
      for (const provider of ['structured', 'plain'] as const) {
        const request = { ...settings(provider), prompt: text, schema: person }
        expect((await generateObject(request)).object).toEqual(expected)
        const stream = streamObject(request)
        const partials: unknown[] = []
        for await (const partial of stream.partialObjectStream) partials.push(partial)
        expect(partials.at(-1)).toEqual(expected)
        expect(await stream.object).toEqual(expected)
      }
    })

    it('generateObject of arrays, enums and no schema', async () => {
      const element = z.object({ size: z.int().min(0).max(9) })
      const array = await generateObject({ ...settings(), prompt: text, output: 'array', schema: element })
      expect(z.array(element).safeParse(array.object).error).toBeUndefined()
      const kinds = ['tailor', 'nurse', 'neither']
      const chosen = await generateObject({ ...settings(), prompt: text, output: 'enum', enum: kinds })
      expect(kinds).toContain(chosen.object)
      const free = await generateObject({ ...settings(), prompt: text, output: 'no-schema' })
      expect(free.object).toEqual(expected)
    })

    it.each(Object.entries(unseenSchemas))('%s that the model has never seen', async (_, schema) => {
      const request = {
        ...settings(),
        prompt: 'Tell me the weather in Oslo as JSON.',
        output: Output.object({ schema }),
      }
      const { output } = await generateText({ ...request, temperature: 1, seed: 3 })
      expect(schema.safeParse(output).error).toBeUndefined()
    })
  })
})
