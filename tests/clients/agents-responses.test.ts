/** OpenAI's Agents SDK as it is set up by default, over Responses: tools, typed outputs, handoffs, sessions, chains of responses. */
import { Agent, MemorySession, OpenAIProvider, Runner, handoff, tool } from '@openai/agents'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { startTinyServer } from './tiny-server.ts'
import type { TinyServer } from './tiny-server.ts'
import { agentSettings, agentTools, callsOf, createToyAgent } from './toy-agent.ts'
import { person, smallTalk, toyPersons, toyQuestions, toyTools, unseenSchemas } from './toy-world.ts'

/** What the SDK sends, as far as the tests look at it. */
interface SentResponse {
  readonly input: readonly unknown[]
  readonly previous_response_id?: string
  readonly tool_choice?: unknown
}

function runnerFor(server: TinyServer): Runner {
  const openAIClient = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0, fetch: server.fetch })
  return new Runner({
    modelProvider: new OpenAIProvider({ openAIClient }),
    model: server.model,
    // It would be sent to OpenAI.
    tracingDisabled: true,
  })
}

describe('the Agents SDK, Responses', () => {
  let server: TinyServer
  let runner: Runner

  beforeAll(async () => {
    server = await startTinyServer()
    runner = runnerFor(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const sent = () => server.takeSent() as unknown as SentResponse[]
  describe('runs', () => {
    it('with tools', async () => {
      for (const { question, tool: name, input, answer } of toyQuestions) {
        const result = await runner.run(createToyAgent(), question)
        expect(callsOf(result)).toEqual([{ name, input }])
        expect(result.finalOutput).toBe(answer)
        expect(result.lastResponseId).toMatch(/^resp_/)
      }
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
    })

    it.each(['required', 'set_timer'])('with the choice %s where it would talk', async (toolChoice) => {
      const result = await runner.run(createToyAgent({ toolChoice }), smallTalk)
      const calls = callsOf(result)
      expect(calls.length).toBeGreaterThan(0)
      if (toolChoice !== 'required') expect(calls[0]?.name).toBe(toolChoice)
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

  describe('memory', () => {
    it('of a session', async () => {
      const session = new MemorySession()
      const agent = createToyAgent()
      for (const { question, answer } of toyQuestions)
        expect((await runner.run(agent, question, { session })).finalOutput).toBe(answer)
      const items = await session.getItems()
      expect(items.map((item) => ('type' in item ? item.type : 'message'))).toEqual([
        ...['message', 'function_call', 'function_call_result', 'message'],
        ...['message', 'function_call', 'function_call_result', 'message'],
      ])
    })

    it('of the server, by the last response', async () => {
      sent()
      const agent = createToyAgent()
      const first = await runner.run(agent, toyQuestions[0].question)
      const previousResponseId = first.lastResponseId!
      const second = await runner.run(agent, toyQuestions[1].question, { previousResponseId })
      expect(second.finalOutput).toBe(toyQuestions[1].answer)
      const requests = sent().slice(2)
      expect(requests[0]).toMatchObject({ previous_response_id: previousResponseId })
      // Each turn sends what is new alone.
      expect(requests.map(({ input }) => input.length)).toEqual([1, 1])
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
    /** The model knows no transcripts with handoffs in them: the next agent sees what the user said. */
    const handOver = (agent: typeof forecaster) =>
      handoff(agent, { inputFilter: (data) => ({ ...data, preHandoffItems: [], newItems: [] }) })

    it.each([false, true])('from a receptionist to the agent that answers, stream: %s', async (stream) => {
      sent()
      const receptionist = new Agent({
        name: 'Receptionist',
        instructions: 'Hand over to the agent that knows.',
        handoffs: [handOver(forecaster)],
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
      const choices = sent().map(({ tool_choice }) => tool_choice)
      expect(choices).toMatchObject([{ type: 'function', name: 'transfer_to_Forecaster' }, undefined, undefined])
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
    })
  })
})

describe('the Agents SDK, Responses of a model that thinks', () => {
  let server: TinyServer
  let runner: Runner

  beforeAll(async () => {
    server = await startTinyServer({ thinks: true })
    runner = runnerFor(server)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it.each([false, true])('gives the reasoning, and takes it back in a session, stream: %s', async (stream) => {
    const providerData = { thinking_token_budget: 5, temperature: 0 }
    const agent = new Agent({
      name: 'Thinker',
      modelSettings: { maxTokens: 60, providerData, reasoning: { effort: 'low', summary: 'auto' } },
    })
    const session = new MemorySession()
    for (const question of ['What is the capital of France?', 'And of Norway?']) {
      const result = stream
        ? await runner.run(agent, question, { session, stream: true })
        : await runner.run(agent, question, { session, stream: false })
      if ('completed' in result) await result.completed
      const [reasoning] = result.newItems.filter(({ type }) => type === 'reasoning_item')
      expect(reasoning?.rawItem).toMatchObject({ type: 'reasoning', content: [{ text: expect.stringMatching(/./) }] })
      expect(typeof result.finalOutput).toBe('string')
    }
    const sent = server.takeSent().at(-1) as unknown as SentResponse
    expect(sent.input).toContainEqual(expect.objectContaining({ type: 'reasoning' }))
  })
})
