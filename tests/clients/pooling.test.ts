/** Embeddings and reranking through the clients that people use for them, against what transformers computed. */
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { OpenAIEmbeddings } from '@langchain/openai'
import { cosineSimilarity, embed, embedMany } from 'ai'
import { CohereClientV2 } from 'cohere-ai'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goldenOf, startPoolingServer } from './pooling-server.ts'
import type { PoolingModel, PoolingServer } from './pooling-server.ts'

interface EmbeddingGolden {
  readonly inputs: readonly {
    readonly text: string
    readonly ids: readonly number[]
    readonly [vector: string]: unknown
  }[]
}

interface RerankGolden {
  readonly inputs: readonly { readonly text: string; readonly pair: string; readonly probs: readonly [number] }[]
}

interface ClassGolden {
  readonly inputs: readonly { readonly text: string; readonly probs: readonly number[] }[]
}

/** Which of a golden file's vectors an embedding is. */
const vectors = { 'bert-embed': 'mean_normalized', 'qwen3-embedding': 'embedding' } as const
const embedders = ['bert-embed', 'qwen3-embedding'] as const

function embeddingsOf(model: keyof typeof vectors): { texts: string[]; expected: number[][]; ids: number[][] } {
  const { inputs } = goldenOf<EmbeddingGolden>(model)
  return {
    texts: inputs.map(({ text }) => text),
    ids: inputs.map(({ ids }) => [...ids]),
    expected: inputs.map((input) => input[vectors[model]] as number[]),
  }
}

function expectClose(actual: readonly (readonly number[])[], expected: readonly (readonly number[])[]): void {
  expect(actual.map(({ length }) => length)).toEqual(expected.map(({ length }) => length))
  const differences = actual.flatMap((row, i) => row.map((value, j) => Math.abs(value - expected[i]![j]!)))
  expect(Math.max(...differences)).toBeLessThan(2e-5)
}

describe('pooling', () => {
  let server: PoolingServer
  let openai: OpenAI
  beforeAll(async () => {
    server = await startPoolingServer()
    openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  describe.each(embedders)('embeddings of %s', (model) => {
    const { texts, expected, ids } = embeddingsOf(model)

    it('openai, base64 by default', async () => {
      const { data, usage } = await openai.embeddings.create({ model, input: texts })
      expect(data.map(({ index }) => index)).toEqual(texts.map((_, i) => i))
      expectClose(
        data.map(({ embedding }) => embedding),
        expected,
      )
      const numTokens = ids.reduce((sum, { length }) => sum + length, 0)
      expect(usage).toMatchObject({ prompt_tokens: numTokens, total_tokens: numTokens })
    })

    it('openai: floats, token ids and one text, to the same bits', async () => {
      const decoded = await openai.embeddings.create({ model, input: texts })
      for (const input of [texts, ids]) {
        const { data } = await openai.embeddings.create({ model, input, encoding_format: 'float' })
        expect(data).toEqual(decoded.data)
      }
      const { data } = await openai.embeddings.create({ model, input: texts[1]! })
      expect(data[0]!.embedding).toEqual(decoded.data[1]!.embedding)
    })

    it('the AI SDK, by both of its providers', async () => {
      const provider = createOpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' })
      const compatible = createOpenAICompatible({ name: 'octavo', baseURL: `${server.url}/v1` })
      for (const embeddingModel of [provider.embedding(model), compatible.embeddingModel(model)]) {
        const { embeddings, usage } = await embedMany({ model: embeddingModel, values: texts, maxRetries: 0 })
        expectClose(embeddings, expected)
        expect(usage.tokens).toBeGreaterThan(0)
        const { embedding } = await embed({ model: embeddingModel, value: texts[1]!, maxRetries: 0 })
        expect(cosineSimilarity(embedding, embeddings[1]!)).toBeCloseTo(1, 6)
      }
    })

    it('LangChain', async () => {
      const embeddings = new OpenAIEmbeddings({
        model,
        apiKey: 'none',
        maxRetries: 0,
        configuration: { baseURL: `${server.url}/v1` },
      })
      expectClose(await embeddings.embedDocuments(texts), expected)
      expectClose([await embeddings.embedQuery(texts[1]!)], [expected[1]!])
    })
  })

  it('openai tells what is wrong', async () => {
    const wrong = openai.embeddings.create({ model: 'bert-reranker', input: 'a' })
    await expect(wrong).rejects.toThrow(/does not do this \(embed\).*\/v1\/rerank/)
    const long = openai.embeddings.create({ model: 'bert-embed', input: 'river '.repeat(2000) })
    await expect(long).rejects.toMatchObject({ status: 400, code: 'context_length_exceeded' })
    const chat = openai.chat.completions.create({ model: 'bert-embed', messages: [{ role: 'user', content: 'a' }] })
    await expect(chat).rejects.toThrow(/does not do this \(generate\).*\/v1\/embeddings/)
  })

  describe('reranking', () => {
    // Some of them are single texts.
    const inputs = goldenOf<RerankGolden>('bert-reranker').inputs.filter(({ pair }) => typeof pair === 'string')
    const query = inputs[0]!.text
    const documents = inputs.filter(({ text }) => text === query)
    const ranked = documents
      .map(({ pair, probs: [score] }, index) => ({ index, text: pair, score }))
      .sort((a, b) => b.score - a.score)

    it('Cohere', async () => {
      const cohere = new CohereClientV2({ token: 'none', environment: server.url })
      const { results } = await cohere.rerank({
        model: 'bert-reranker',
        query,
        documents: documents.map(({ pair }) => pair),
        topN: 2,
      })
      expect(results.map(({ index }) => index)).toEqual(ranked.slice(0, 2).map(({ index }) => index))
      for (const [i, { relevanceScore }] of results.entries()) expect(relevanceScore).toBeCloseTo(ranked[i]!.score, 4)
    })

    it('the scores of pairs', async () => {
      const { data } = await post<{ data: { score: number }[] }>('/score', {
        model: 'bert-reranker',
        text_1: inputs.map(({ text }) => text),
        text_2: inputs.map(({ pair }) => pair),
      })
      for (const [i, { score }] of data.entries()) expect(score).toBeCloseTo(inputs[i]!.probs[0], 4)
    })
  })

  it('classes', async () => {
    const { inputs } = goldenOf<ClassGolden>('qwen3-seqcls')
    const input = inputs.map(({ text }) => text)
    const { data } = await post<{ data: { probs: number[]; num_classes: number }[] }>('/classify', {
      model: 'qwen3-seqcls',
      input,
    })
    expectClose(
      data.map(({ probs }) => probs),
      inputs.map(({ probs }) => probs),
    )
    expect(data.map(({ num_classes }) => num_classes)).toEqual(inputs.map(() => 3))
  })

  it('one vector a token', async () => {
    const { inputs } = goldenOf<EmbeddingGolden>('bert-embed')
    const { text, last_hidden_state: rows } = inputs[0]!
    const { data } = await post<{ data: { data: number[][] }[] }>('/pooling', {
      model: 'bert-embed',
      input: text,
      task: 'token_embed',
      use_activation: false,
    })
    expectClose(data[0]!.data, rows as number[][])
  })

  it.each<PoolingModel>(['bert-embed', 'qwen3-embedding'])('tokens of %s', async (model) => {
    const { inputs } = goldenOf<EmbeddingGolden>(model)
    for (const { text, ids } of inputs) {
      const { tokens, count } = await post<{ tokens: number[]; count: number }>('/tokenize', { model, prompt: text })
      expect({ tokens, count }).toEqual({ tokens: ids, count: ids.length })
    }
  })

  async function post<Answer>(path: string, body: object): Promise<Answer> {
    const response = await fetch(server.url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const answer: unknown = await response.json()
    expect([response.status, answer]).toMatchObject([200, {}])
    return answer as Answer
  }
})
