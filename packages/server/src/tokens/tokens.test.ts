import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { postJson } from '../testing/post-json.ts'

async function ask(url: string, body: object, engine = new FakeEngine()) {
  const response = await postJson(url, body, { engine })
  return { status: response.statusCode, body: response.json<Record<string, unknown>>() }
}

describe('POST /tokenize and /detokenize', () => {
  it('gives ids, a count, and tokens where they are asked for', async () => {
    const engine = new FakeEngine()
    const ids = engine.idsOf('a b')
    expect((await ask('/tokenize', { prompt: 'a b' }, engine)).body).toEqual({
      count: 2,
      max_model_len: 256,
      tokens: ids,
      token_strs: null,
    })
    const { body } = await ask('/tokenize', { prompt: 'a b', return_token_strs: true }, engine)
    expect(body['token_strs']).toEqual(['a', ' b'])
    expect((await ask('/detokenize', { tokens: ids }, engine)).body).toEqual({ prompt: 'a b' })
  })

  it('takes a conversation, with tools', async () => {
    const seen: unknown[] = []
    const engine = new FakeEngine()
    const tokenize = engine.tokenize.bind(engine)
    engine.tokenize = (request) => {
      seen.push(request.prompt)
      return tokenize(request)
    }
    const tools = [{ type: 'function', function: { name: 'f', parameters: {} } }]
    const messages = [{ role: 'user', content: 'a b c' }]
    const { body } = await ask('/tokenize', { messages, tools, add_generation_prompt: false }, engine)
    expect(body['count']).toBe(3)
    expect(seen).toMatchObject([{ type: 'chat', tools: expect.stringContaining('"f"'), addGenerationPrompt: false }])
  })

  it.each([
    ['/tokenize', {}, 'prompt'],
    ['/tokenize', { prompt: 'a', messages: [{ role: 'user', content: 'a' }] }, 'prompt'],
    ['/tokenize', { prompt: ['a'] }, 'prompt'],
    ['/tokenize', { prompt: 'a', model: 'other' }, 'model'],
    ['/tokenize', { messages: [{ role: 'user', content: 'a' }], chat_template: '{{ x }}' }, 'chat_template'],
    ['/detokenize', { tokens: [-1] }, 'tokens'],
    ['/detokenize', {}, 'tokens'],
  ])('%s refuses %j', async (url, request, param) => {
    const { status, body } = await ask(url, request)
    expect([status, body]).toMatchObject([param === 'model' ? 404 : 400, { error: { param } }])
  })
})

describe('GET /tokenizer_info', () => {
  it('is there where the operator wants it', async () => {
    const engine = new FakeEngine()
    expect((await createApp({ engine, version: '0' }).inject('/tokenizer_info')).statusCode).toBe(404)
    const app = createApp({ engine, version: '0', enableTokenizerInfoEndpoint: true })
    expect((await app.inject('/tokenizer_info')).json()).toEqual({
      tokenizer_class: 'Words',
      chat_template: '{{ messages }}',
    })
  })
})

describe('render', () => {
  it('gives one object for a conversation, and runs nothing', async () => {
    const engine = new FakeEngine()
    const request = {
      messages: [{ role: 'user', content: 'a b c' }],
      temperature: 0.5,
      cache_salt: 'salt',
      priority: 2,
      response_format: { type: 'json_object' },
    }
    const { body } = await ask('/v1/chat/completions/render', request, engine)
    expect(body).toMatchObject({
      request_id: 'chatcmpl-r',
      token_ids: engine.idsOf('a b c'),
      features: null,
      sampling_params: {
        temperature: 0.5,
        top_p: 1,
        max_tokens: 253,
        seed: null,
        structured_outputs: { json_object: true },
      },
      model: 'fake',
      stream: false,
      stream_options: null,
      cache_salt: 'salt',
      priority: 2,
      kv_transfer_params: null,
    })
    expect(engine.seen).toEqual([])
  })

  it('gives a list for prompts', async () => {
    const { body } = await ask('/v1/completions/render', { prompt: ['a', 'b c'], max_tokens: 7, stream: true })
    expect(body).toMatchObject([
      { request_id: 'cmpl-r-0', token_ids: [0], sampling_params: { max_tokens: 7 }, stream: true },
      { request_id: 'cmpl-r-1', token_ids: [1, 2] },
    ])
  })

  it('repeats no large constraint for thousands of prompts', async () => {
    const constraint = { json: JSON.stringify({ description: 'x'.repeat(100_000) }) }
    const ofMany = { prompt: Array.from({ length: 2000 }, () => 'a'), structured_outputs: constraint }
    const { status, body } = await ask('/v1/completions/render', ofMany)
    expect([status, body]).toMatchObject([
      400,
      { error: { param: 'prompt', message: expect.stringContaining('at most') } },
    ])
    const ofFew = await ask('/v1/completions/render', { ...ofMany, prompt: ['a', 'b'] })
    expect(ofFew.body).toMatchObject([{ sampling_params: { structured_outputs: constraint } }, {}])
  })

  it('refuses what the endpoint itself refuses', async () => {
    const wrong = { messages: [{ role: 'user', content: 'a' }], temperature: 3 }
    const { status, body } = await ask('/v1/chat/completions/render', wrong)
    expect([status, body]).toMatchObject([400, { error: { param: 'temperature' } }])
  })
})
