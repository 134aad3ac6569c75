import { OctavoApiError, OctavoClient } from '@octavo/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApp } from './app.ts'
import type { RunningServer } from './listen.ts'
import { listen } from './listen.ts'
import { FakeEngine } from './testing/fake-engine.ts'

describe("Octavo's own client", () => {
  const engine = new FakeEngine({ maxModelLen: 10_000, pace: () => new Promise((resolve) => setImmediate(resolve)) })
  let server: RunningServer
  let client: OctavoClient

  beforeAll(async () => {
    server = await listen(createApp({ engine, version: '9.8.7', apiKeys: ['key'] }), { port: 0 })
    client = new OctavoClient({ baseUrl: server.url, apiKey: 'key' })
  })
  afterAll(async () => server.close())

  const params = { messages: [{ role: 'user' as const, content: 'a b c' }], max_tokens: 5 }

  it('speaks with the server about itself', async () => {
    expect(await client.health()).toBe(true)
    expect(await client.version()).toEqual({ version: '9.8.7' })
    expect((await client.models.list()).data).toMatchObject([{ id: 'fake', max_model_len: 10_000 }])
  })

  it('gets the same chat streamed and complete', async () => {
    const whole = await client.chat.completions.create({
      ...params,
      logprobs: true,
      top_logprobs: 2,
      return_token_ids: true,
      prompt_logprobs: 1,
    })
    let text = ''
    for await (const chunk of await client.chat.completions.create({
      ...params,
      stream: true,
      stream_options: { include_usage: true },
    })) {
      text += chunk.choices[0]?.delta.content ?? ''
    }
    expect(text).toBe('a b ca b')
    expect(whole.choices[0]?.message.content).toBe(text)
    expect(whole.usage.total_tokens).toBe(8)
  })

  it('gets vectors, scores, classes and tokens', async () => {
    const { data } = await client.embeddings.create({ input: ['a', 'b'] })
    expect(data.map(({ embedding }) => embedding.length)).toEqual([4, 4])
    const base64 = await client.embeddings.create({ input: 'a', encoding_format: 'base64' })
    expect(base64.data[0]!.embedding).toBeTypeOf('string')
    const scores = await client.score({ text_1: 'a', text_2: ['a', 'b'] })
    expect(scores.data[0]!.score).toBeCloseTo(1, 6)
    const { results } = await client.rerank({ query: 'a', documents: ['b', 'a'], top_n: 1 })
    expect(results).toMatchObject([{ index: 1, document: { text: 'a' } }])
    expect((await client.pool({ input: 'a b', task: 'token_embed' })).data[0]!.data).toHaveLength(2)
    await expect(client.classify({ input: 'a' })).rejects.toThrow(OctavoApiError)
    const { tokens } = await client.tokenize({ prompt: 'a b' })
    expect(await client.detokenize({ tokens })).toEqual({ prompt: 'a b' })
  })

  it('gets responses, and what is kept of them', async () => {
    const request = { input: 'a b c', max_output_tokens: 5, temperature: 0 }
    const whole = await client.responses.create(request)
    const last = []
    for await (const event of await client.responses.create({ ...request, stream: true })) last.push(event)
    expect(last.at(-1)).toMatchObject({ type: 'response.incomplete', response: { usage: whole.usage } })
    expect(await client.responses.retrieve(whole.id)).toEqual(whole)
    expect(await client.responses.delete(whole.id)).toEqual({ id: whole.id, object: 'response', deleted: true })
    await expect(client.responses.retrieve(whole.id)).rejects.toMatchObject({ status: 404 })
    const endless = { ...request, max_output_tokens: 5000, background: true, stream: true } as const
    const ids: string[] = []
    for await (const event of await client.responses.create(endless)) {
      if (event.type === 'response.created') ids.push(event.response.id)
      if (event.type === 'response.output_text.delta') break
    }
    const [id] = ids as [string]
    expect(await client.responses.cancel(id)).toMatchObject({ status: 'cancelled' })
    const events = []
    for await (const event of await client.responses.follow(id, { startingAfter: 2 })) events.push(event)
    expect(events[0]).toMatchObject({ sequence_number: 3 })
  })

  it('gets completions with everything in them', async () => {
    const whole = await client.completions.create({
      prompt: ['a b', 'c d'],
      logprobs: 2,
      echo: true,
      return_token_ids: true,
      max_tokens: 3,
    })
    expect(whole.choices.map(({ text }) => text)).toEqual(['a ba ba', 'c dc dc'])
    const texts: string[] = []
    for await (const { choices } of await client.completions.create({
      prompt: 'a b',
      stream: true,
      max_tokens: 2,
      logprobs: 1,
    }))
      texts.push(choices[0]?.text ?? '')
    expect(texts).toEqual(['a', ' b'])
  })

  it("ends the engine's work by leaving the loop", async () => {
    for await (const _ of await client.chat.completions.create({ ...params, max_tokens: 9_000, stream: true })) break
    await expect.poll(() => engine.seen.at(-1)?.state).toBe('aborted')
  })

  it('gets typed errors', async () => {
    const failed = await client.chat.completions.create({ ...params, temperature: 3 }).catch((error: unknown) => error)
    expect(OctavoApiError.isInstance(failed)).toBe(true)
    expect(failed).toMatchObject({
      status: 400,
      param: 'temperature',
      type: 'Bad Request',
      requestId: expect.any(String),
    })
    await expect(new OctavoClient({ baseUrl: server.url }).models.list()).rejects.toMatchObject({ status: 401 })
  })
})
