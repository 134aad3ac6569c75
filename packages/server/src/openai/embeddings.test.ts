import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ContextLengthError } from '@octavo/core'
import { noMetrics } from '@octavo/core/engine'
import { FakeEngine, type FakeEngineOptions } from '../testing/fake-engine.ts'
import { postJson } from '../testing/post-json.ts'

interface Answer {
  data: { index: number; object: string; embedding: number[] | string }[]
  usage: { prompt_tokens: number; total_tokens: number }
  error: { message: string; param: string | null; code: unknown }
}

async function ask(body: object, options: FakeEngineOptions & { engine?: FakeEngine } = {}) {
  const engine = options.engine ?? new FakeEngine(options)
  const response = await postJson('/v1/embeddings', body, { engine })
  return { engine, response, status: response.statusCode, json: () => response.json<Answer>() }
}

async function vectorsOf(body: object, engine = new FakeEngine()): Promise<number[][]> {
  const { json } = await ask(body, { engine })
  return json().data.map(({ embedding }) => embedding as number[])
}

describe('POST /v1/embeddings', () => {
  it('answers as OpenAI and vLLM do', async () => {
    const { json } = await ask({ input: ['a', 'b c'], model: 'fake', user: 'someone' })
    const vector = [expect.any(Number), expect.any(Number), expect.any(Number), expect.any(Number)]
    expect(json()).toEqual({
      id: 'embd-r',
      object: 'list',
      created: expect.any(Number),
      model: 'fake',
      data: [
        { index: 0, object: 'embedding', embedding: vector },
        { index: 1, object: 'embedding', embedding: vector },
      ],
      usage: {
        prompt_tokens: 3,
        total_tokens: 3,
        completion_tokens: 0,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    })
  })

  it('takes a text, texts, token ids, lists of them, and a conversation, with the same result', async () => {
    const engine = new FakeEngine()
    const ids = engine.idsOf('a b')
    const [expected] = await vectorsOf({ input: 'a b' }, engine)
    for (const body of [
      { input: ['a b'] },
      { input: ids },
      { input: [ids] },
      { messages: [{ role: 'user', content: 'a b' }] },
    ])
      expect(await vectorsOf(body, engine)).toEqual([expected])
    expect(engine.seenPooling.at(-1)!.prompt).toMatchObject({ type: 'chat', addGenerationPrompt: false })
  })

  it('keeps the order of inputs that end out of order', async () => {
    const texts = Array.from({ length: 600 }, (_, i) => `t${i}`)
    const expected = await vectorsOf({ input: texts }, new FakeEngine())
    let numAtOnce = 0
    let mostAtOnce = 0
    const engine = new FakeEngine({
      pace: async () => {
        mostAtOnce = Math.max(mostAtOnce, ++numAtOnce)
        await sleep(numAtOnce % 3)
        numAtOnce--
      },
    })
    for (const text of texts) engine.idsOf(text)
    expect(await vectorsOf({ input: texts }, engine)).toEqual(expected)
    expect(mostAtOnce).toBeGreaterThan(100)
    expect(mostAtOnce).toBeLessThanOrEqual(256)
  })

  it.each([
    ['float32', 'native', 'readFloatLE', 4],
    ['float32', 'big', 'readFloatBE', 4],
  ] as const)('base64: %s, %s', async (embed_dtype, endianness, read, numBytes) => {
    const engine = new FakeEngine()
    const [expected] = await vectorsOf({ input: 'a b' }, engine)
    const { json } = await ask({ input: 'a b', encoding_format: 'base64', embed_dtype, endianness }, { engine })
    const bytes = Buffer.from(json().data[0]!.embedding as string, 'base64')
    expect(expected!.map((_, i) => bytes[read](i * numBytes))).toEqual(expected)
  })

  it('base64: 16-bit floats, both ways round', async () => {
    const engine = new FakeEngine({ pooling: { isNormalized: false } })
    // Token ids 0 to 2: 1.2, 1.2, 1.2, 0.3 in four dimensions.
    const bytesAs = async (embed_dtype: string, endianness: string): Promise<Buffer> => {
      const { json } = await ask({ input: 'a b c', encoding_format: 'base64', embed_dtype, endianness }, { engine })
      return Buffer.from(json().data[0]!.embedding as string, 'base64')
    }
    const bfloat16 = await bytesAs('bfloat16', 'little')
    // The upper half of a float32, rounded.
    expect([...bfloat16]).toEqual([0x9a, 0x3f, 0x9a, 0x3f, 0x9a, 0x3f, 0x9a, 0x3e])
    expect(await bytesAs('bfloat16', 'big')).toEqual(Buffer.from(bfloat16).swap16())
    expect([...(await bytesAs('float16', 'little'))].slice(0, 2)).toEqual([0xcd, 0x3c])
  })

  it('bytes: the vectors, and in a header whose they are', async () => {
    const engine = new FakeEngine()
    const expected = await vectorsOf({ input: ['a b', 'c'] }, engine)
    const { response } = await ask({ input: ['a b', 'c'], encoding_format: 'bytes' }, { engine })
    expect(response.headers['content-type']).toBe('application/octet-stream')
    const numbers = new Float32Array(new Uint8Array(response.rawPayload).buffer)
    expect([...numbers]).toEqual(expected.flat())
    expect(JSON.parse(String(response.headers['metadata']))).toMatchObject({
      id: 'embd-r',
      data: [
        { index: 0, embed_dtype: 'float32', endianness: 'native', start: 0, end: 16, shape: [4] },
        { index: 1, start: 16, end: 32 },
      ],
      usage: { prompt_tokens: 3, total_tokens: 3 },
    })
    const alone = await ask({ input: ['a b', 'c'], encoding_format: 'bytes_only' }, { engine })
    expect(alone.response.headers['metadata']).toBeUndefined()
    expect(alone.response.rawPayload).toEqual(response.rawPayload)
  })

  it('refuses `bytes` for more inputs than a header has room for', async () => {
    const input = Array.from({ length: 200 }, () => 'a')
    const { status, json } = await ask({ input, encoding_format: 'bytes' })
    expect(status).toBe(400)
    expect(json().error).toMatchObject({ param: 'encoding_format', message: expect.stringContaining('bytes_only') })
  })

  it('hands on what the engine has a say in', async () => {
    const { engine } = await ask({
      input: 'a b c',
      dimensions: 2,
      use_activation: false,
      truncate_prompt_tokens: 2,
      truncation_side: 'left',
      add_special_tokens: false,
      priority: 3,
      cache_salt: 'salt',
    })
    expect(engine.seenPooling).toEqual([
      {
        requestId: expect.stringMatching(/^embd-r-/),
        model: 'fake',
        prompt: { type: 'text', text: 'a b c', addSpecialTokens: false },
        params: { task: 'embed', dimensions: 2, useActivation: false },
        priority: 3,
        cacheSalt: 'salt',
        truncatePromptTokens: 2,
        truncationSide: 'left',
      },
    ])
  })

  it.each([
    [{}, 'input', 'messages in its place'],
    [{ input: [] }, 'input', 'must be a string'],
    [{ input: [[]] }, 'input', 'must be a string'],
    [{ input: ['a', [1]] }, 'input', 'unmixed'],
    [{ input: 'a', messages: [{ role: 'user', content: 'a' }] }, 'input', 'exclude each other'],
    [{ input: 'a', chat_template_kwargs: { a: 1 } }, 'chat_template_kwargs', 'is for messages'],
    [{ input: 'a', normalize: true }, 'normalize', 'use_activation'],
    [{ input: 'a', encoding_format: 'hex' }, 'encoding_format', 'float'],
    [{ input: 'a', encoding_format: 'base64', embed_dtype: 'fp8_e4m3' }, 'embed_dtype', '8-bit'],
    [{ input: 'a', embed_dtype: 'float16' }, 'embed_dtype', 'base64'],
    [{ input: 'a', padding: 'max_length' }, 'padding', 'do_not_pad'],
    [{ input: 'a', dimensions: 0 }, 'dimensions', '>=1'],
    [{ input: 'a', dimensions: 5 }, 'dimensions', 'from 1 to 4'],
    [{ messages: [{ role: 'user', content: 'a' }], chat_template: '{{ x }}' }, 'chat_template', 'does not run'],
  ])('refuses %j', async (body, param, message) => {
    const { status, json } = await ask(body)
    expect(status).toBe(400)
    expect(json().error).toMatchObject({ param, message: expect.stringContaining(message) })
  })

  it('says what a model does that makes no embeddings', async () => {
    const { status, json } = await ask({ input: 'a' }, { tasks: ['generate'] })
    expect(status).toBe(400)
    expect(json().error.message).toBe(
      'The model "fake" does not do this (embed); it does generate (/v1/chat/completions and /v1/completions).',
    )
    const engine = new FakeEngine({ tasks: ['embed'] })
    const chat = { messages: [{ role: 'user', content: 'a' }] }
    for (const url of ['/v1/chat/completions', '/v1/chat/completions/render']) {
      const response = await postJson(url, chat, { engine })
      expect([response.statusCode, response.json<Answer>().error.param]).toEqual([400, 'model'])
      expect(response.json<Answer>().error.message).toContain('/v1/embeddings')
    }
  })

  it('fails as a whole with the input that fails, and stops the others', async () => {
    const failure = { atToken: 0, error: new ContextLengthError(300, 256) }
    const { status, json } = await ask({ input: ['a', 'b'] }, { failure })
    expect(status).toBe(400)
    expect(json().error).toMatchObject({
      code: 'context_length_exceeded',
      message: expect.stringContaining('truncate_prompt_tokens'),
    })
  })

  it('takes more inputs than a bounded queue has room for', async () => {
    const input = Array.from({ length: 100 }, (_, i) => `t${i}`)
    const engine = new FakeEngine({ pace: () => sleep(1) })
    for (const text of input) engine.idsOf(text)
    engine.metrics = () => ({ ...noMetrics({ numBlocks: 8 }) })
    const response = await postJson('/v1/embeddings', { input }, { engine, maxQueuedSeqs: 10, maxNumSeqs: 4 })
    expect(response.statusCode).toBe(200)
    expect(response.json<Answer>().data.map(({ index }) => index)).toEqual(input.map((_, i) => i))
  })
})
