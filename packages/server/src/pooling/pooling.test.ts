import { describe, expect, it, vi } from 'vitest'
import { FakeEngine, type FakeEngineOptions } from '../testing/fake-engine.ts'
import { postJson } from '../testing/post-json.ts'

const crossEncoder: FakeEngineOptions = {
  tasks: ['classify', 'token_classify'],
  pooling: { acceptsPairs: true, numLabels: 1, labels: ['LABEL_0'] },
}
const classifier: FakeEngineOptions = {
  tasks: ['classify'],
  pooling: { numLabels: 3, labels: ['good', 'bad', 'ugly'] },
}

async function ask(url: string, body: object, options: FakeEngineOptions = {}) {
  const engine = new FakeEngine(options)
  const response = await postJson(url, body, { engine })
  return { engine, status: response.statusCode, body: response.json<Record<string, unknown>>() }
}

function sigmoid(x: number): number {
  return Math.fround(1 / (1 + Math.exp(-x)))
}

describe('POST /score', () => {
  it.each(['/score', '/v1/score'])('%s of a cross-encoder: one with all', async (url) => {
    const { body, engine } = await ask(url, { text_1: 'a b', text_2: ['b a', 'c'] }, crossEncoder)
    expect(body).toEqual({
      id: 'score-r',
      object: 'list',
      created: expect.any(Number),
      model: 'fake',
      data: [
        { index: 0, object: 'score', score: expect.any(Number) },
        { index: 1, object: 'score', score: sigmoid(0) },
      ],
      usage: expect.objectContaining({ prompt_tokens: 7, total_tokens: 7 }),
    })
    expect(engine.seenPooling).toMatchObject([
      { prompt: { type: 'text', text: 'a b' }, pair: 'b a', params: { task: 'classify' } },
      { prompt: { type: 'text', text: 'a b' }, pair: 'c' },
    ])
  })

  it.each([
    ['queries', 'documents'],
    ['queries', 'items'],
    ['data_1', 'data_2'],
  ])('takes %s and %s, each with its own', async (first, second) => {
    const { engine } = await ask('/score', { [first]: ['a', 'b'], [second]: ['c', 'd'] }, crossEncoder)
    expect(engine.seenPooling.map(({ prompt, pair }) => [prompt, pair])).toEqual([
      [{ type: 'text', text: 'a', addSpecialTokens: undefined }, 'c'],
      [{ type: 'text', text: 'b', addSpecialTokens: undefined }, 'd'],
    ])
  })

  it('of a model that embeds: the cosine, each text once', async () => {
    const { body, engine } = await ask('/score', { text_1: 'a', text_2: ['a', 'b'] }, { tasks: ['embed'] })
    const [same, other] = (body['data'] as { score: number }[]).map(({ score }) => score)
    expect(same).toBeCloseTo(1, 6)
    // (1, .1, .1, .1) and (.1, 1, .1, .1)
    expect(other).toBeCloseTo(0.22 / 1.03, 6)
    expect(engine.seenPooling.map(({ params }) => params.task)).toEqual(['embed', 'embed', 'embed'])
  })

  it('refuses a model with several classes', async () => {
    const { status, body } = await ask('/score', { text_1: 'a', text_2: 'b' }, classifier)
    expect([status, body]).toMatchObject([
      400,
      { error: { param: 'model', message: expect.stringContaining('3 classes') } },
    ])
  })

  it.each([
    [{ text_1: 'a' }, 'text_1', 'text_1 and text_2'],
    [{ text_1: 'a', documents: 'b' }, 'text_1', 'queries and documents'],
    [{ text_1: 'a', text_2: 'b', items: 'c' }, 'text_1', 'two sides'],
    [{ text_1: ['a', 'b'], text_2: ['c'] }, 'text_2', 'has 1 texts for 2 of text_1'],
    [{ queries: ['a', 'b'], documents: ['c', 'd', 'e'] }, 'documents', 'has 3 texts for 2 of queries'],
    [{ text_1: 'a', text_2: [] }, 'text_2', '1 to 2048'],
    [{ text_1: 'a', text_2: [{ content: [] }] }, 'text_2', 'must be a text'],
  ])('refuses %j', async (request, param, message) => {
    const { status, body } = await ask('/score', request, crossEncoder)
    expect(status).toBe(400)
    expect(body['error']).toMatchObject({ param, message: expect.stringContaining(message) })
  })
})

describe('POST /rerank', () => {
  const documents = ['c', 'b a', 'a', { text: 'b' }]

  it.each(['/rerank', '/v1/rerank', '/v2/rerank'])('%s: the best first, as vLLM answers', async (url) => {
    const { body } = await ask(url, { query: 'b a b', documents, top_n: 3, model: 'fake' }, crossEncoder)
    expect(body).toEqual({
      id: 'rerank-r',
      model: 'fake',
      usage: { prompt_tokens: 17, total_tokens: 17 },
      results: [
        { index: 1, document: { text: 'b a' }, relevance_score: sigmoid(2) },
        { index: 3, document: { text: 'b' }, relevance_score: sigmoid(1) },
        { index: 0, document: { text: 'c' }, relevance_score: sigmoid(0) },
      ],
    })
  })

  it('answers with all for top_n 0, and without documents', async () => {
    const { body } = await ask('/rerank', { query: 'a', documents, top_n: 0, return_documents: false }, crossEncoder)
    const results = body['results'] as object[]
    expect(results).toHaveLength(4)
    for (const result of results) expect(Object.keys(result)).toEqual(['index', 'relevance_score'])
  })

  it.each([
    [{ documents }, 'query'],
    [{ query: 'a', documents: [] }, 'documents'],
    [{ query: 'a', documents: [{ image: 'x' }] }, 'documents.0'],
    [{ query: 'a', documents, top_n: -1 }, 'top_n'],
    [{ query: 'a', documents, max_tokens_per_doc: -1 }, 'max_tokens_per_doc'],
  ])('refuses %j', async (request, param) => {
    const { status, body } = await ask('/rerank', request, crossEncoder)
    expect(status).toBe(400)
    expect(body['error']).toMatchObject({ param })
  })

  it('cuts documents to max_tokens_per_doc, and 0 is no limit', async () => {
    const request = { query: 'a', documents: ['b a a a', 'a'] }
    const usageOf = async (more: object) => (await ask('/rerank', { ...request, ...more }, crossEncoder)).body['usage']
    const whole = await usageOf({})
    expect(await usageOf({ max_tokens_per_doc: 0 })).toEqual(whole)
    expect(await usageOf({ max_tokens_per_doc: 4 })).toEqual(whole)
    const { body } = await ask('/rerank', { ...request, max_tokens_per_doc: 2 }, crossEncoder)
    const { prompt_tokens: numTokens } = whole as { prompt_tokens: number }
    expect(body['usage']).toMatchObject({ prompt_tokens: numTokens - 2 })
    // Documents come back as they were sent.
    expect(body['results']).toContainEqual(expect.objectContaining({ document: { text: 'b a a a' } }))
  })

  it('a query is not read with thousands of documents at any length', async () => {
    const request = { query: 'a '.repeat(50_000), documents: Array.from({ length: 1000 }, () => 'a') }
    const { status, body } = await ask('/rerank', { ...request, truncate_prompt_tokens: 8 }, crossEncoder)
    expect([status, body['error']]).toMatchObject([
      400,
      { param: 'query', message: expect.stringContaining('at most 167') },
    ])
  })

  it('names the side that is wrong', async () => {
    const { body } = await ask('/rerank', { query: 'a', documents }, { ...crossEncoder, pooling: { numLabels: 1 } })
    expect(body['error']).toMatchObject({ param: 'documents' })
  })
})

describe('POST /classify', () => {
  it('answers as vLLM does', async () => {
    const { body } = await ask('/classify', { input: ['a b', 'c'] }, classifier)
    expect(body).toEqual({
      id: 'classify-r',
      object: 'list',
      created: expect.any(Number),
      model: 'fake',
      data: [
        { index: 0, label: 'good', probs: expect.any(Array), num_classes: 3 },
        { index: 1, label: 'good', probs: expect.any(Array), num_classes: 3 },
      ],
      usage: expect.objectContaining({ prompt_tokens: 3, total_tokens: 3 }),
    })
    const [first] = body['data'] as { probs: number[] }[]
    expect(first!.probs.reduce((a, b) => a + b)).toBeCloseTo(1, 6)
  })

  it('gives logits where they are asked for, and no label where there is none', async () => {
    const unnamed = { ...classifier, pooling: { numLabels: 2, labels: null } }
    const { body } = await ask('/classify', { input: 'a b c', use_activation: false }, unnamed)
    expect(body['data']).toEqual([{ index: 0, label: null, probs: [3, 2], num_classes: 2 }])
  })

  it('names the endpoint for what the model does', async () => {
    const { status, body } = await ask('/classify', { input: 'a' }, { tasks: ['embed'] })
    expect([status, body]).toMatchObject([400, { error: { message: expect.stringContaining('/v1/embeddings') } }])
  })
})

describe('POST /pooling', () => {
  it('does what the model does where no task is named', async () => {
    const { body } = await ask('/pooling', { input: 'a' }, { tasks: ['generate', 'token_embed', 'embed'] })
    expect(body).toMatchObject({
      id: 'pool-r',
      object: 'list',
      data: [{ index: 0, object: 'pooling', data: [expect.any(Number), 0.1, 0.1, 0.1].map(() => expect.any(Number)) }],
    })
    const classes = await ask('/pooling', { input: 'a b' }, classifier)
    expect((classes.body['data'] as { data: number[] }[])[0]!.data).toHaveLength(3)
  })

  it('gives a vector for each token', async () => {
    const { body } = await ask('/pooling', { input: ['a b c', 'd'], task: 'token_embed', dimensions: 2 })
    const [first, second] = (body['data'] as { data: number[][] }[]).map(({ data }) => data)
    expect([first!.map((row) => row.length), second!.map((row) => row.length)]).toEqual([[2, 2, 2], [2]])
  })

  it('base64 of them has them one behind the other', async () => {
    const request = { input: 'a b c', task: 'token_embed' }
    const [rows] = ((await ask('/pooling', request)).body['data'] as { data: number[][] }[]).map(({ data }) => data)
    const { body } = await ask('/pooling', { ...request, encoding_format: 'base64' })
    const bytes = Buffer.from((body['data'] as { data: string }[])[0]!.data, 'base64')
    expect([...new Float32Array(new Uint8Array(bytes).buffer)]).toEqual(rows!.flat())
  })

  it('has few vectors of tokens at once, as they are large', async () => {
    const numBegun = async (task: string): Promise<number> => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const engine = new FakeEngine({ pace: () => promise })
      const answer = postJson('/pooling', { input: Array(300).fill('a'), task }, { engine })
      await vi.waitFor(() => expect(engine.seenPooling.length).toBeGreaterThan(15))
      await new Promise((after) => setTimeout(after, 200))
      const most = engine.seenPooling.length
      resolve()
      expect((await answer).json<{ data: unknown[] }>().data).toHaveLength(300)
      return most
    }
    expect([await numBegun('token_embed'), await numBegun('embed')]).toEqual([16, 256])
  })

  it.each(['bytes', 'bytes_only'])('refuses more bytes than are held at once: %s', async (format) => {
    const engine = new FakeEngine()
    const data = new Float32Array(2 ** 26 + 1)
    engine.pool = async ({ requestId }) => {
      return { requestId, promptTokenIds: [1], numCachedTokens: 0, data, shape: [data.length, 1] }
    }
    const request = { input: 'a', task: 'token_embed', encoding_format: format }
    const response = await postJson('/pooling', request, { engine })
    expect([response.statusCode, response.json()]).toMatchObject([400, { error: { param: 'encoding_format' } }])
  })

  it('refuses a task that the model does not do, or that nobody knows', async () => {
    const other = await ask('/pooling', { input: 'a', task: 'classify' })
    expect([other.status, other.body]).toMatchObject([400, { error: { param: 'model' } }])
    const unknown = await ask('/pooling', { input: 'a', task: 'encode' })
    expect([unknown.status, unknown.body]).toMatchObject([400, { error: { param: 'task' } }])
    const dimensions = await ask('/pooling', { input: 'a', dimensions: 2 }, classifier)
    expect([dimensions.status, dimensions.body]).toMatchObject([400, { error: { param: 'dimensions' } }])
  })
})
