/** The AI SDK through its provider for Anthropic's API. */
import { createAnthropic } from '@ai-sdk/anthropic'
import { Output, generateText, isStepCount, streamText, tool } from 'ai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools
const tools = {
  get_weather: tool({ description: weather.description, inputSchema: weather.input, execute: weather.execute }),
  set_timer: tool({ description: timer.description, inputSchema: timer.input, execute: timer.execute }),
}

describe("the AI SDK's provider for Anthropic", () => {
  let server: TinyServer
  let provider: ReturnType<typeof createAnthropic>

  beforeAll(async () => {
    server = await startTinyServer()
    provider = createAnthropic({ baseURL: server.baseURL, apiKey: 'none' })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const settings = () => ({ model: provider(server.model), temperature: 0, maxOutputTokens: 200, maxRetries: 0 })

  it('runs loops of tools, whole and streamed', async () => {
    for (const { question, tool: name, input, answer } of toyQuestions) {
      const params = { ...settings(), tools, stopWhen: isStepCount(4), prompt: question }
      const whole = await generateText(params)
      expect(whole.steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
      expect(whole.steps[0]?.toolCalls).toMatchObject([{ toolName: name, input }])
      expect(whole.text).toBe(answer)
      const stream = streamText(params)
      const kinds = new Set<string>()
      for await (const { type } of stream.fullStream) kinds.add(type)
      expect(kinds).not.toContain('error')
      expect(await stream.text).toBe(answer)
      expect((await stream.totalUsage).inputTokens).toBe(whole.totalUsage.inputTokens)
    }
  })

  it.each(['required', { type: 'tool', toolName: 'set_timer' }] as const)(
    'calls where it would talk: %j',
    async (choice) => {
      const { toolCalls, finishReason } = await generateText({
        ...settings(),
        tools,
        toolChoice: choice,
        prompt: smallTalk,
      })
      expect(finishReason).toBe('tool-calls')
      for (const call of toolCalls) expect(call).not.toMatchObject({ invalid: true })
    },
  )

  it.each(['outputFormat', 'jsonTool', 'auto'] as const)('makes objects by %s', async (structuredOutputMode) => {
    for (const { text, person: expected } of toyPersons) {
      const params = { ...settings(), prompt: text, output: Output.object({ schema: person }) }
      const { output } = await generateText({ ...params, providerOptions: { anthropic: { structuredOutputMode } } })
      // The others ask for it as the input of a tool, which the model has not seen.
      if (structuredOutputMode === 'outputFormat') expect(output).toEqual(expected)
      else expect(person.safeParse(output).success).toBe(true)
    }
  })
})
