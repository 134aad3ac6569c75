/** OpenAI's Agents SDK over chat completions: runs with tools, typed outputs, handoffs. */
import { Agent, OpenAIProvider, Runner, handoff, tool } from '@openai/agents'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { agentSettings, agentTools, callsOf, createToyAgent } from './toy-agent.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

describe('the Agents SDK', () => {
  let server: TinyServer
  let runner: Runner

  beforeAll(async () => {
    server = await startTinyServer()
    const openAIClient = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0, fetch: server.fetch })
    runner = new Runner({
      modelProvider: new OpenAIProvider({ openAIClient, useResponses: false, strictFeatureValidation: true }),
      model: server.model,
      // It would be sent to OpenAI.
      tracingDisabled: true,
    })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  describe('runs', () => {
    it('with tools', async () => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const result = await runner.run(createToyAgent(), question)
        expect(callsOf(result)).toEqual([{ name, input }])
        expect(result.finalOutput).toBe(answer)
      }
      expect(server.takeSent()[0]?.tools?.[0]?.function.strict).toBe(true)
    })

    it('with tools, streamed', async () => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const result = await runner.run(createToyAgent(), question, { stream: true })
        let text = ''
        for await (const piece of result.toTextStream()) text += piece
        await result.completed
        expect(text).toBe(answer)
        expect(callsOf(result)).toEqual([{ name, input }])
        expect(result.finalOutput).toBe(answer)
        expect(result.state.usage.outputTokens).toBeGreaterThan(0)
      }
      expect(server.takeSent().every(({ stream }) => stream === true)).toBe(true)
    })

    it.each(['required', 'set_timer'])('with the choice %s where it would talk', async (toolChoice) => {
      for (const stream of [false, true]) {
        const agent = createToyAgent({ toolChoice })
        const result = stream
          ? await runner.run(agent, smallTalk, { stream: true })
          : await runner.run(agent, smallTalk, { stream: false })
        if ('completed' in result) await result.completed
        const calls = callsOf(result)
        expect(calls.length).toBeGreaterThan(0)
        if (toolChoice !== 'required') expect(calls[0]?.name).toBe(toolChoice)
        expect(typeof result.finalOutput).toBe('string')
      }
    })

    it('with several calls in one turn, and with one where that is not wanted', async () => {
      for (const parallelToolCalls of [true, false]) {
        const more = { toolChoice: 'required', parallelToolCalls, providerData: { min_tokens: 48 } }
        const agent = createToyAgent(more).clone({ toolUseBehavior: 'stop_on_first_tool' })
        const calls = callsOf(await runner.run(agent, toyQuestions[0].question))
        if (parallelToolCalls) expect(calls.length).toBeGreaterThan(1)
        else expect(calls).toHaveLength(1)
      }
    })
  })

  describe('typed output', () => {
    it.each([false, true])('of a person, stream: %s', async (stream) => {
      const agent = new Agent({ name: 'Clerk', outputType: person, modelSettings: agentSettings() })
      for (const { text, person: expected } of toyPersons) {
        const result = stream
          ? await runner.run(agent, text, { stream: true })
          : await runner.run(agent, text, { stream: false })
        if ('completed' in result) await result.completed
        expect(result.finalOutput).toEqual(expected)
      }
      expect(server.takeSent().at(-1)?.response_format?.type).toBe('json_schema')
    })

    it.each(Object.entries(unseenSchemas))('of %s that the model has never seen', async (_, schema) => {
      const agent = new Agent({ name: 'Clerk', outputType: schema as typeof person, modelSettings: agentSettings() })
      const { finalOutput } = await runner.run(agent, 'Tell me the weather in Oslo as JSON.')
      expect(schema.safeParse(finalOutput).error).toBeUndefined()
    })
  })

  describe('handoffs', () => {
    const forecaster = new Agent({
      name: 'Forecaster',
      handoffDescription: 'Knows the weather.',
      tools: [agentTools[0]!],
      modelSettings: agentSettings(),
    })
    const timekeeper = new Agent({ name: 'Timekeeper', tools: [agentTools[1]!], modelSettings: agentSettings() })
    /** The model knows no transcripts with handoffs in them: the next agent sees what the user said. */
    const handOver = (agent: typeof forecaster) =>
      handoff(agent, { inputFilter: (data) => ({ ...data, preHandoffItems: [], newItems: [] }) })

    it.each([false, true])('from a receptionist to the agent that answers, stream: %s', async (stream) => {
      server.takeSent()
      const receptionist = new Agent({
        name: 'Receptionist',
        instructions: 'Hand over to the agent that knows.',
        handoffs: [handOver(forecaster), handOver(timekeeper)],
        modelSettings: agentSettings({ toolChoice: 'transfer_to_Forecaster' }),
      })
      const [{ question, input, answer }] = toyQuestions
      const result = stream
        ? await runner.run(receptionist, question, { stream: true })
        : await runner.run(receptionist, question, { stream: false })
      if ('completed' in result) await result.completed
      expect(result.lastAgent?.name).toBe('Forecaster')
      expect(callsOf(result)).toEqual([{ name: 'get_weather', input }])
      expect(result.finalOutput).toBe(answer)
      const choices = server.takeSent().map(({ tool_choice }) => tool_choice)
      expect(choices).toMatchObject([{ function: { name: 'transfer_to_Forecaster' } }, undefined, undefined])
    })

    it('with the whole transcript', async () => {
      const cities = z.object({ city: z.enum(['Oslo', 'Rome']) })
      const specialist = new Agent({
        name: 'Specialist',
        tools: [
          tool({ name: 'get_weather', description: '', parameters: cities, execute: toyTools.get_weather.execute }),
        ],
        modelSettings: agentSettings({ toolChoice: 'get_weather', parallelToolCalls: false }),
      })
      const receptionist = new Agent({
        name: 'Receptionist',
        handoffs: [specialist],
        modelSettings: agentSettings({ toolChoice: 'transfer_to_Specialist' }),
      })
      const result = await runner.run(receptionist, toyQuestions[0].question)
      expect(callsOf(result)).toEqual([
        { name: 'transfer_to_Specialist', input: {} },
        { name: 'get_weather', input: { city: expect.stringMatching(/^(Oslo|Rome)$/) } },
      ])
      expect(result.lastAgent?.name).toBe('Specialist')
      expect(typeof result.finalOutput).toBe('string')
    })

    it('to one of several, where any is required', async () => {
      const receptionist = new Agent({
        name: 'Receptionist',
        handoffs: [handOver(forecaster), handOver(timekeeper)],
        modelSettings: agentSettings({ toolChoice: 'required', parallelToolCalls: false }),
      })
      const result = await runner.run(receptionist, toyQuestions[1].question)
      expect(['Forecaster', 'Timekeeper']).toContain(result.lastAgent?.name)
    })

    it('an agent as a tool of another', async () => {
      const expert = createToyAgent().asTool({ toolName: 'ask_expert', toolDescription: 'Ask an expert.' })
      const asker = new Agent({
        name: 'Asker',
        tools: [expert],
        toolUseBehavior: 'stop_on_first_tool',
        modelSettings: agentSettings({ toolChoice: 'ask_expert' }),
      })
      const result = await runner.run(asker, toyQuestions[0].question)
      expect(callsOf(result)).toMatchObject([{ name: 'ask_expert', input: { input: expect.any(String) } }])
      expect(typeof result.finalOutput).toBe('string')
    })
  })
})
