/**
 * What vLLM's own tests ask of models that pool (tests/entrypoints/pooling: embed/test_online, embed/test_online_dimensions,
 * scoring/test_cross_encoder_online, scoring/test_bi_encoder_online, classify/test_online, token_embed/test_online,
 * test_error_handling), each `it` one of theirs in our words, against tiny models whose values are transformers'.
 */
import OpenAI, { BadRequestError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { goldenOf, startPoolingServer } from '../clients/pooling-server.ts'
import type { PoolingServer } from '../clients/pooling-server.ts'
import { askAt } from './ask.ts'
import type { Asking } from './ask.ts'

interface Usage {
  readonly prompt_tokens: number
  readonly total_tokens: number
  readonly completion_tokens: number
}
interface Embeddings {
  readonly id: string
  readonly object: string
  readonly model: string
  readonly data: readonly { readonly embedding: number[] }[]
  readonly usage: Usage
}
interface Classes {
  readonly object: string
  readonly model: string
  readonly data: readonly { index: number; label: string | null; probs: number[]; num_classes: number }[]
  readonly usage: Usage
}
interface Scores {
  readonly id: string
  readonly data: readonly { readonly score: number }[]
}
interface Ranking {
  readonly id: string
  readonly results: readonly { index: number; relevance_score: number; document: { text: string } }[]
  readonly usage: Usage
}
interface Pooled {
  readonly data: readonly { readonly data: number[] | number[][] }[]
}

const chatTemplate =
  "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
const messages = [
  { role: 'user', content: 'The river is long.' },
  { role: 'assistant', content: 'The boat is small.' },
  { role: 'user', content: 'Stars are bright.' },
]
const conversation = 'user: The river is long.\nassistant: The boat is small.\nuser: Stars are bright.\n'

function expectClose(actual: readonly number[], expected: readonly number[], tolerance = 1e-5): void {
  expect(actual).toHaveLength(expected.length)
  expect(Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(tolerance)
}

describe('pooling', () => {
  let server: PoolingServer
  let client: OpenAI
  let asking: Asking
  beforeAll(async () => {
    server = await startPoolingServer({ chatTemplate })
    client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
    asking = askAt(server.url)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  describe('embeddings', () => {
    const model = 'bert-embed'
    const [{ text, ids, mean_normalized: golden }] = goldenOf<{
      inputs: [{ text: string; ids: number[]; mean_normalized: number[] }]
    }>(model).inputs
    const embed = async (more: object) =>
      (await asking.post<Embeddings>('/v1/embeddings', { model, encoding_format: 'float', ...more })).body
    const refused = async (more: object) => {
      const answer = await asking.post('/v1/embeddings', { model, input: text, ...more })
      expect(answer.status).toBe(400)
      return answer.body.error
    }

    it('the model is listed, and its tokenizer answers', async () => {
      expect((await client.models.list()).data.map(({ id }) => id)).toContain(model)
      expect((await asking.post<{ tokens: number[] }>('/tokenize', { model, prompt: text })).body.tokens).toEqual(ids)
    })

    it.each([
      ['a text', text],
      ['token ids', ids],
    ])('of %s', async (_, input) => {
      const { id, data, usage } = await embed({ input })
      expect(id).toEqual(expect.any(String))
      expect(data).toHaveLength(1)
      expectClose(data[0]!.embedding, golden)
      expect(usage).toMatchObject({ prompt_tokens: ids.length, total_tokens: ids.length, completion_tokens: 0 })
    })

    it.each([
      ['texts', Array.from({ length: 10 }, () => text)],
      ['lists of token ids', Array.from({ length: 10 }, () => ids)],
    ])('of ten %s', async (_, input) => {
      const { data, usage } = await embed({ input })
      expect(data).toHaveLength(10)
      for (const { embedding } of data) expectClose(embedding, golden)
      expect(usage.prompt_tokens).toBe(10 * ids.length)
    })

    it('truncate_prompt_tokens', async () => {
      const long = 'The river is long and the boat is small and the stars are bright.'
      const { tokens } = (await asking.post<{ tokens: number[] }>('/tokenize', { model, prompt: long })).body
      for (const input of [long, tokens]) {
        const { usage } = await embed({ input, truncate_prompt_tokens: 10 })
        expect([usage.prompt_tokens, usage.total_tokens]).toEqual([10, 10])
      }
      expect(await refused({ truncate_prompt_tokens: 8193 })).toMatchObject({ param: 'truncate_prompt_tokens' })
    })

    it('of a conversation: that of its text', async () => {
      const ofMessages = await embed({ messages })
      const ofText = await embed({ input: conversation, add_special_tokens: false })
      expect(ofMessages.data).toEqual(ofText.data)
      expect(ofMessages.usage).toEqual(ofText.usage)
      const numTokens = async (more: object) => (await embed({ messages, ...more })).usage.prompt_tokens
      const plain = ofMessages.usage.prompt_tokens
      expect(await numTokens({ add_generation_prompt: true })).toBeGreaterThan(plain)
      expect(await numTokens({ continue_final_message: true })).toBeLessThanOrEqual(plain)
      expect(await numTokens({ add_special_tokens: true })).toBe(plain + 2)
      const both = { input: null, messages, continue_final_message: true, add_generation_prompt: true }
      expect(await refused(both)).toMatchObject({ param: 'continue_final_message' })
    })

    it('base64, which is the client’s default', async () => {
      const input = [text, 'Hello my name is']
      const floats = (await embed({ input })).data.map(({ embedding }) => embedding)
      const { data } = await client.embeddings.create({ model, input })
      for (const [i, { embedding }] of data.entries()) expectClose(embedding, floats[i]!)
      const encoded = await asking.post<{ data: { embedding: string }[] }>('/v1/embeddings', {
        model,
        input,
        encoding_format: 'base64',
      })
      for (const [i, { embedding }] of encoded.body.data.entries())
        expectClose([...floatsOf(Buffer.from(embedding, 'base64'), 'float32', 'little')], floats[i]!)
    })

    const layouts = (['float32', 'float16', 'bfloat16'] as const).flatMap((dtype) =>
      (['native', 'little', 'big'] as const).map((endianness) => [dtype, endianness] as const),
    )

    it.each(layouts)('base64 of %s, %s', async (dtype, endianness) => {
      const more = { model, input: text, encoding_format: 'base64', embed_dtype: dtype, endianness }
      const { body } = await asking.post<{ data: { embedding: string }[] }>('/v1/embeddings', more)
      expectClose(floatsOf(Buffer.from(body.data[0]!.embedding, 'base64'), dtype, endianness), golden, 1e-2)
    })

    it.each(layouts)('bytes and bytes_only of %s, %s', async (dtype, endianness) => {
      for (const format of ['bytes', 'bytes_only']) {
        const response = await fetch(`${server.url}/v1/embeddings`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ model, input: [text, text], encoding_format: format, embed_dtype: dtype, endianness }),
        })
        const bytes = Buffer.from(await response.arrayBuffer())
        const metadata = response.headers.get('metadata')
        const places =
          metadata === null
            ? [0, 1].map((i) => ({ start: (i * bytes.length) / 2, end: ((i + 1) * bytes.length) / 2 }))
            : (JSON.parse(metadata) as { data: { start: number; end: number }[] }).data
        expect(metadata === null).toBe(format === 'bytes_only')
        for (const { start, end } of places)
          expectClose(floatsOf(bytes.subarray(start, end), dtype, endianness), golden, 1e-2)
      }
    })

    it.each(['encoding_format', 'embed_dtype', 'endianness'])('an unknown %s is refused', async (field) => {
      expect(await refused({ encoding_format: 'base64', [field]: `bad_${field}` })).toMatchObject({ param: field })
    })

    it('use_activation: whether they have the length 1', async () => {
      const of = async (use: boolean | null) => (await embed({ input: text, use_activation: use })).data[0]!.embedding
      const [byDefault, normal, raw] = [await of(null), await of(true), await of(false)]
      expect(byDefault).toEqual(normal)
      const length = Math.hypot(...raw)
      expect(Math.abs(length - 1)).toBeGreaterThan(1e-2)
      expectClose(
        raw.map((value) => value / length),
        normal,
      )
    })

    it.each([-1, 16])('dimensions: %d of a model that was not made for it are refused', async (dimensions) => {
      expect(await refused({ dimensions })).toMatchObject({ param: 'dimensions' })
    })

    it('/pooling, embed', async () => {
      const { body } = await asking.post<Pooled>('/pooling', {
        model,
        input: text,
        task: 'embed',
        encoding_format: 'float',
      })
      expectClose(body.data[0]!.data as number[], golden)
    })

    it('/pooling, token_embed', async () => {
      const { body } = await asking.post<Pooled>('/pooling', { model, input: text, task: 'token_embed' })
      const rows = body.data[0]!.data as number[][]
      expect(rows.map(({ length }) => length)).toEqual(ids.map(() => golden.length))
    })

    it.each(['classify', 'token_classify', 'plugin'])('/pooling, %s: refused', async (task) => {
      const { status, body } = await asking.post('/pooling', { model, input: text, task })
      expect(status).toBe(400)
      expect(body.error.message).toMatch(/task|classify/)
    })

    it.each([
      ['nothing', { input: null }],
      ['an empty list', { input: [] }],
      ['an empty list in a list', { input: [[]] }],
      ['texts and ids', { input: ['a', [1]] }],
      ['ids beyond the vocabulary', { input: [999_999] }],
      ['too long a text', { input: 'river '.repeat(500) }],
      ['an object', { input: {} }],
    ])('%s: refused', async (_, more) => {
      expect(await refused(more)).toMatchObject({ message: expect.any(String) })
    })

    it('a model of another name is not there', async () => {
      expect(await asking.post('/v1/embeddings', { model: 'nobody', input: text })).toMatchObject({ status: 404 })
    })

    it('a score of two texts is the cosine of their embeddings', async () => {
      const others = ['The river is long.', text]
      const vectors = (await embed({ input: [text, ...others] })).data.map(({ embedding }) => embedding)
      const { body } = await asking.post<Scores>('/v1/score', { model, text_1: text, text_2: others })
      const cosines = vectors
        .slice(1)
        .map((vector) => vector.reduce((sum, value, i) => sum + value * vectors[0]![i]!, 0))
      expectClose(
        body.data.map(({ score }) => score),
        cosines,
      )
    })
  })

  describe('scores of a cross-encoder', () => {
    const model = 'bert-reranker'
    const pairs = goldenOf<{ inputs: { text: string; pair?: string; logits: number[]; probs: number[] }[] }>(
      model,
    ).inputs.filter((input): input is typeof input & { pair: string } => typeof input.pair === 'string')
    const query = pairs[0]!.text
    const documents = pairs.filter(({ text }) => text === query)
    const score = async (body: object) => asking.post<Scores>('/score', { model, ...body })
    const rerank = async (body: object) =>
      (await asking.post<Ranking>('/rerank', { model, query, documents: documents.map(({ pair }) => pair), ...body }))
        .body

    it('the model is listed, and its tokenizer answers', async () => {
      expect((await asking.get('/v1/models')).text).toContain(model)
      expect((await asking.post<{ count: number }>('/tokenize', { model, prompt: query })).body.count).toBeGreaterThan(
        2,
      )
    })

    it('one query, one document', async () => {
      const { id, data } = (await score({ queries: query, documents: documents[0]!.pair })).body
      expect(id).toEqual(expect.any(String))
      expectClose(
        data.map((one) => one.score),
        documents[0]!.probs,
      )
    })

    it('one query, several documents', async () => {
      const { data } = (await score({ queries: query, documents: documents.map(({ pair }) => pair) })).body
      expectClose(
        data.map((one) => one.score),
        documents.map(({ probs }) => probs[0]!),
      )
    })

    it.each([
      ['queries', 'documents'],
      ['queries', 'items'],
      ['text_1', 'text_2'],
      ['data_1', 'data_2'],
    ])('several of both, as %s and %s', async (first, second) => {
      const sides = { [first]: pairs.map(({ text }) => text), [second]: pairs.map(({ pair }) => pair) }
      const { data } = (await score(sides)).body
      expectClose(
        data.map((one) => one.score),
        pairs.map(({ probs }) => probs[0]!),
      )
    })

    it('lists of different lengths are refused', async () => {
      const uneven = await asking.post('/score', { model, queries: ['a', 'b'], documents: ['a', 'b', 'c'] })
      expect([uneven.status, uneven.body.error.param]).toEqual([400, 'documents'])
      const empty = await asking.post('/score', { model, queries: 'a', documents: [] })
      expect(empty.status).toBe(400)
    })

    it('rerank: the best first', async () => {
      const { id, results } = await rerank({})
      expect(id).toEqual(expect.any(String))
      const best = documents.map(({ probs }, index) => ({ index, score: probs[0]! })).sort((a, b) => b.score - a.score)
      expect(results.map(({ index }) => index)).toEqual(best.map(({ index }) => index))
      expectClose(
        results.map(({ relevance_score: one }) => one),
        best.map((one) => one.score),
      )
      for (const { index, document } of results) expect(document.text).toBe(documents[index]!.pair)
    })

    it('rerank: top_n', async () => {
      const all = await rerank({})
      expect((await rerank({ top_n: 2 })).results).toEqual(all.results.slice(0, 2))
    })

    it.each(['/rerank', '/v1/rerank', '/v2/rerank', '/score', '/v1/score'])(
      '%s: too long a text is refused',
      async (path) => {
        const long = 'The river is long. '.repeat(100)
        const body = path.endsWith('score')
          ? { queries: long, documents: ['a', 'b'] }
          : { query: long, documents: ['a', 'b'] }
        const answer = await asking.post(path, { model, ...body })
        expect(answer.status).toBe(400)
        expect(answer.body.error.message).toMatch(/context/)
        const wrong = await asking.post(path, { model, ...body, truncate_prompt_tokens: 999 })
        expect([wrong.status, wrong.body.error.param]).toEqual([400, 'truncate_prompt_tokens'])
        expect((await asking.post(path, { model, ...body, truncate_prompt_tokens: 64 })).status).toBe(200)
      },
    )

    it('use_activation: whether scores are probabilities', async () => {
      const of = async (use: boolean | null) => (await rerank({ use_activation: use })).results
      const [byDefault, active, raw] = [await of(null), await of(true), await of(false)]
      expect(byDefault).toEqual(active)
      expectClose(
        raw.map(({ relevance_score: one }) => 1 / (1 + Math.exp(-one))),
        active.map(({ relevance_score: one }) => one),
      )
      expect(Math.abs(raw[0]!.relevance_score - active[0]!.relevance_score)).toBeGreaterThan(1e-2)
    })

    it('/pooling, classify', async () => {
      const { body } = await asking.post<Pooled>('/pooling', { model, input: query, task: 'classify' })
      expect(body.data[0]!.data).toHaveLength(1)
    })
  })

  describe('classes', () => {
    const model = 'qwen3-seqcls'
    const { inputs } = goldenOf<{ inputs: { text: string; ids: number[]; logits: number[]; probs: number[] }[] }>(model)
    const [{ text, ids, probs, logits }] = inputs as [(typeof inputs)[0]]
    const classify = async (body: object) => (await asking.post<Classes>('/classify', { model, ...body })).body

    it('the model is listed, and its tokenizer answers', async () => {
      expect((await asking.get('/v1/models')).text).toContain(model)
      expect((await asking.post<{ tokens: number[] }>('/tokenize', { model, prompt: text })).body.tokens).toEqual(ids)
    })

    it.each([
      ['a text', text],
      ['token ids', ids],
    ])('of %s', async (_, input) => {
      const { object, model: name, data } = await classify({ input })
      expect([object, name, data.length]).toEqual(['list', model, 1])
      expectClose(data[0]!.probs, probs)
      expect(data[0]).toMatchObject({ label: expect.stringMatching(/^LABEL_/), num_classes: probs.length })
    })

    it.each([
      ['texts', Array.from({ length: 10 }, () => text)],
      ['lists of token ids', Array.from({ length: 10 }, () => ids)],
    ])('of ten %s', async (_, input) => {
      const { data } = await classify({ input })
      expect(data.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      for (const one of data) {
        expectClose(one.probs, probs)
        expect(one.num_classes).toBe(one.probs.length)
      }
    })

    it.each(['', []].map((input) => [input]))('of nothing, %j: refused', async (input) => {
      expect(await asking.post('/classify', { model, input })).toMatchObject({ status: 400, body: { error: {} } })
    })

    it('truncate_prompt_tokens', async () => {
      const { data, usage } = await classify({ input: 'hello '.repeat(600), truncate_prompt_tokens: 5 })
      expect([data.length, usage.prompt_tokens, usage.total_tokens]).toEqual([1, 5, 5])
      const wrong = await asking.post('/classify', { model, input: 'test', truncate_prompt_tokens: 99_999 })
      expect([wrong.status, wrong.body.error.param]).toEqual([400, 'truncate_prompt_tokens'])
    })

    it.each([false, true])('add_special_tokens: %j', async (special) => {
      expect((await classify({ input: text, add_special_tokens: special })).data).toHaveLength(1)
    })

    it('of a conversation', async () => {
      const ofMessages = await classify({ messages })
      const ofText = await classify({ input: conversation, add_special_tokens: false })
      expect(ofMessages.data).toEqual(ofText.data)
      expect((await classify({ messages, add_generation_prompt: true })).usage.prompt_tokens).toBeGreaterThan(
        ofText.usage.prompt_tokens,
      )
      const both = { model, messages, continue_final_message: true, add_generation_prompt: true }
      expect(await asking.post('/classify', both)).toMatchObject({
        status: 400,
        body: { error: { param: 'continue_final_message' } },
      })
    })

    it('use_activation: whether they are probabilities', async () => {
      const of = async (use: boolean | null) => (await classify({ input: text, use_activation: use })).data[0]!.probs
      expect(await of(null)).toEqual(await of(true))
      expectClose(await of(true), probs)
      expectClose(await of(false), logits)
    })

    it.each([
      ['/score', { queries: 'ping', documents: 'pong' }],
      ['/rerank', { query: 'ping', documents: ['pong'] }],
    ])('%s is for models of one class', async (path, body) => {
      expect(await asking.post(path, { model, ...body })).toMatchObject({
        status: 400,
        body: { error: { param: 'model' } },
      })
    })

    it('/pooling, classify', async () => {
      const { body } = await asking.post<Pooled>('/pooling', { model, input: text, task: 'classify' })
      expectClose(body.data[0]!.data as number[], probs)
    })

    it.each(['embed', 'token_embed', 'plugin'])('/pooling, %s: refused', async (task) => {
      expect(await asking.post('/pooling', { model, input: text, task })).toMatchObject({
        status: 400,
        body: { error: {} },
      })
    })
  })

  it.each([
    ['/v1/embeddings', { model: 'bert-embed', input: 'river', encoding_format: 'float' }],
    ['/v1/embeddings', { model: 'bert-embed', messages, encoding_format: 'float' }],
    ['/classify', { model: 'qwen3-seqcls', input: 'river' }],
    ['/classify', { model: 'qwen3-seqcls', messages }],
    ['/rerank', { model: 'bert-reranker', query: 'river', documents: ['boat', 'sun'] }],
    ['/score', { model: 'bert-reranker', queries: 'river', documents: ['boat', 'sun'] }],
  ])('/invocations: as %s, %j', async (path, body) => {
    const told = ({ body: { id: _, created: __, ...rest } }: { body: Record<string, unknown> }) => rest
    const [direct, invoked] = [
      await asking.post<Record<string, unknown>>(path, body),
      await asking.post<Record<string, unknown>>('/invocations', body),
    ]
    expect([direct.status, invoked.status]).toEqual([200, 200])
    expect(told(invoked)).toEqual(told(direct))
  })

  it('rerank: max_tokens_per_doc', async () => {
    const body = { model: 'bert-reranker', query: 'river', documents: ['The river is long. '.repeat(12)] }
    const usage = async (more: object) => (await asking.post<Ranking>('/rerank', { ...body, ...more })).body.usage
    const whole = await usage({ truncate_prompt_tokens: 255 })
    const cut = await usage({ max_tokens_per_doc: 10 })
    expect(cut.prompt_tokens).toBeLessThan(whole.prompt_tokens)
    expect(await usage({ max_tokens_per_doc: 0 })).toEqual(whole)
    const wrong = await asking.post('/rerank', { ...body, max_tokens_per_doc: -1 })
    expect([wrong.status, wrong.body.error.param]).toEqual([400, 'max_tokens_per_doc'])
  })

  it('a model that generates nothing says so', async () => {
    const asked = client.chat.completions.create({ model: 'bert-embed', messages: [{ role: 'user', content: 'a' }] })
    await expect(asked).rejects.toThrow(BadRequestError)
  })
})

/** As vLLM's clients read them. */
function floatsOf(
  bytes: Buffer,
  dtype: 'float32' | 'float16' | 'bfloat16',
  endianness: 'native' | 'little' | 'big',
): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isLittle = endianness !== 'big'
  if (dtype === 'float32') return Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, isLittle))
  return Array.from({ length: bytes.length / 2 }, (_, i) => {
    const bits = view.getUint16(2 * i, isLittle)
    if (dtype === 'bfloat16') return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15)
    return bits >> 15 === 1 ? -size : size
  })
}
