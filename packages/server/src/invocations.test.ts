import { describe, expect, it } from 'vitest'
import { FakeEngine, type FakeEngineOptions } from './testing/fake-engine.ts'
import { postJson } from './testing/post-json.ts'

const messages = [{ role: 'user', content: 'a b' }]

async function ask(url: string, body: object, options: FakeEngineOptions = {}) {
  const response = await postJson(url, body, { engine: new FakeEngine(options) })
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() }
}

describe('POST /invocations', () => {
  const embedder: FakeEngineOptions = { tasks: ['embed', 'token_embed'] }
  const classifier: FakeEngineOptions = { tasks: ['classify'], pooling: { numLabels: 3 } }
  const crossEncoder: FakeEngineOptions = { tasks: ['classify'], pooling: { numLabels: 1, acceptsPairs: true } }

  it.each<[string, object, FakeEngineOptions]>([
    ['/v1/chat/completions', { messages, max_tokens: 2, temperature: 0 }, {}],
    ['/v1/completions', { prompt: 'a b', max_tokens: 2, temperature: 0 }, {}],
    ['/v1/embeddings', { input: 'a' }, embedder],
    ['/v1/embeddings', { messages }, embedder],
    ['/classify', { input: 'a' }, classifier],
    ['/classify', { messages }, classifier],
    ['/pooling', { input: 'a', task: 'token_embed' }, embedder],
    ['/score', { text_1: 'a', text_2: 'b' }, crossEncoder],
    ['/score', { queries: 'a', documents: ['b', 'c'] }, crossEncoder],
    ['/rerank', { query: 'a', documents: ['b', 'c'] }, crossEncoder],
  ])('answers as %s does to %j', async (url, body, options) => {
    const direct = await ask(url, body, options)
    const invoked = await ask('/invocations', body, options)
    const withoutTime = ({ created: _, ...rest }: Record<string, unknown>) => rest
    expect(direct.status).toBe(200)
    expect([invoked.status, withoutTime(invoked.body)]).toEqual([200, withoutTime(direct.body)])
  })

  it('streams', async () => {
    const body = { messages, max_tokens: 2, stream: true }
    const { headers, body: text } = await postJson('/invocations', body, { engine: new FakeEngine() })
    expect(headers['content-type']).toMatch(/event-stream/)
    expect(text).toMatch(/\[DONE\]\n\n$/)
  })

  it.each([
    [{}, 400, 'none of the fields'],
    [{ messages: [] }, 400, 'messages'],
    [{ prompt: 'a', temperature: 9 }, 400, 'temperature'],
    [{ input: 'a', model: 'nobody' }, 404, 'nobody'],
  ])('refuses %j', async (body, status, message) => {
    const answer = await ask('/invocations', body)
    expect(answer.status).toBe(status)
    expect(answer.body['error']).toMatchObject({ message: expect.stringContaining(message) })
  })

  it('names fields as the endpoint does that is meant', async () => {
    const answer = await ask(
      '/invocations',
      { query: 'a', documents: ['b'] },
      { ...crossEncoder, pooling: { numLabels: 1 } },
    )
    expect(answer.body['error']).toMatchObject({ param: 'documents' })
  })
})
