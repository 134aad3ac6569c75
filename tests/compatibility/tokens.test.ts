/**
 * What vLLM's own tests ask of /tokenize, /detokenize, /tokenizer_info and the render endpoints (tests/entrypoints/serve:
 * tokenize/test_tokenization, render/test_render), each `it` one of theirs in our words, against octavo-tiny.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { toyTools } from '../clients/toy-world.ts'
import { z } from 'zod'
import { askAt } from './ask.ts'
import type { Asking, ErrorAnswer } from './ask.ts'

interface Tokenized {
  readonly tokens: number[]
  readonly count: number
  readonly max_model_len: number
  readonly token_strs: string[] | null
}

interface Rendered {
  readonly request_id: string
  readonly token_ids: number[]
  readonly sampling_params: Readonly<Record<string, unknown>>
  readonly model: string
  readonly stream: boolean
  readonly stream_options: object | null
}

const turns = [
  { role: 'user', content: 'Hi there!' },
  { role: 'assistant', content: 'Nice to meet you!' },
  { role: 'user', content: 'Can I ask a question? vllm1' },
]

describe('tokens', () => {
  let server: TinyServer
  let asking: Asking
  beforeAll(async () => {
    server = await startTinyServer({ enableTokenizerInfoEndpoint: true })
    asking = askAt(server.origin)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const tokenize = async (body: object) => {
    const { status, body: answer } = await asking.post<Tokenized>('/tokenize', { model: server.model, ...body })
    expect(status).toBe(200)
    expect(answer).toMatchObject({ count: answer.tokens.length, max_model_len: 1024 })
    return answer
  }

  /** As its model card says. */
  const rendered = (messages: readonly { role: string; content: string }[], end: string) =>
    messages.map(({ role, content }) => `<|im_start|>${role}\n${content}`).join('<|im_end|>\n') + end

  it.each([false, true])('of a text; add_special_tokens: %j', async (special) => {
    const prompt = 'vllm1 This is a test prompt.'
    const { tokens, token_strs: strings } = await tokenize({ prompt, add_special_tokens: special })
    expect(strings).toBeNull()
    expect((await asking.post('/detokenize', { tokens })).body).toEqual({ prompt })
  })

  const openings = [
    { add_generation_prompt: false, continue_final_message: false, end: '<|im_end|>\n' },
    { add_generation_prompt: true, continue_final_message: false, end: '<|im_end|>\n<|im_start|>assistant\n' },
    { add_generation_prompt: false, continue_final_message: true, end: '' },
  ]

  it.each(openings)('of a conversation: $add_generation_prompt, $continue_final_message', async ({ end, ...how }) => {
    const messages = how.continue_final_message ? [...turns, { role: 'assistant', content: 'Sure,' }] : turns
    const { tokens } = await tokenize({ prompt: rendered(messages, end) })
    for (const special of [false, true])
      expect((await tokenize({ messages, add_special_tokens: special, ...how })).tokens).toEqual(tokens)
  })

  it.each(openings)('with tools: $add_generation_prompt, $continue_final_message', async ({ end, ...how }) => {
    const messages = how.continue_final_message ? [...turns, { role: 'assistant', content: 'Sure,' }] : turns
    const { description, input } = toyTools.get_weather
    const parameters = z.toJSONSchema(input, { target: 'draft-7' })
    const tools = [{ type: 'function', function: { name: 'get_weather', description, parameters } }]
    const { tokens } = await tokenize({ messages, tools, ...how })
    const { prompt } = (await asking.post<{ prompt: string }>('/detokenize', { tokens })).body
    expect(prompt).toContain('get_weather')
    expect(prompt.endsWith(rendered(messages.slice(-1), end))).toBe(true)
  })

  it('both at once are refused', async () => {
    const both = { messages: turns, add_generation_prompt: true, continue_final_message: true }
    expect(await asking.post('/tokenize', both)).toMatchObject({
      status: 400,
      body: { error: { param: 'continue_final_message' } },
    })
  })

  it('return_token_strs', async () => {
    const { tokens, token_strs: strings } = await tokenize({ prompt: 'This is a test! vllm1', return_token_strs: true })
    expect(strings).toHaveLength(tokens.length)
    expect(strings!.join('').replaceAll('Ġ', ' ')).toBe('This is a test! vllm1')
  })

  it('detokenize', async () => {
    const { tokens } = await tokenize({ prompt: 'This is a test prompt. vllm1', add_special_tokens: false })
    const { body } = await asking.post('/detokenize', { model: server.model, tokens })
    expect(body).toEqual({ prompt: 'This is a test prompt. vllm1' })
  })

  it.each([[[-1]], [['a']], [[999_999]], [null]])('detokenize of %j is refused', async (tokens) => {
    expect(await asking.post('/detokenize', { tokens })).toMatchObject({
      status: 400,
      body: { error: { param: 'tokens' } },
    })
  })

  describe('tokenizer_info', () => {
    const info = async () => (await asking.get<Readonly<Record<string, unknown>>>('/tokenizer_info')).body

    it('names its class', async () => {
      expect(await info()).toMatchObject({ tokenizer_class: expect.stringMatching(/./) })
    })

    it('has fields of their types', async () => {
      const types = {
        boolean: ['add_bos_token', 'add_prefix_space', 'clean_up_tokenization_spaces', 'split_special_tokens'],
        string: ['chat_template', 'errors'],
        number: ['model_max_length'],
        object: ['added_tokens_decoder', 'additional_special_tokens'],
      }
      const given = await info()
      for (const [type, fields] of Object.entries(types))
        for (const field of fields) if (given[field] != null) expect(typeof given[field], field).toBe(type)
    })

    it('agrees with tokenize on the length', async () => {
      const { model_max_length: max } = await info()
      if (max != null) expect(max).toBeGreaterThanOrEqual((await tokenize({ prompt: 'Hello' })).max_model_len)
    })

    it('has the chat template', async () => {
      expect(await info()).toMatchObject({ chat_template: expect.stringMatching(/im_start/) })
    })
  })

  describe('render', () => {
    const renderChat = async (body: object) =>
      (await asking.post<Rendered>('/v1/chat/completions/render', { model: server.model, ...body })).body
    const render = async (body: object) =>
      (await asking.post<Rendered[]>('/v1/completions/render', { model: server.model, ...body })).body

    it('of a text', async () => {
      const [one, ...others] = await render({ prompt: 'When should it be empty?' })
      expect(others).toEqual([])
      expect(one).toMatchObject({
        model: server.model,
        request_id: expect.stringMatching(/^cmpl-/),
        sampling_params: {},
      })
      expect(one!.token_ids).toEqual((await tokenize({ prompt: 'When should it be empty?' })).tokens)
    })

    it('of a chat', async () => {
      const { token_ids: ids } = await renderChat({ messages: turns.slice(0, 1) })
      expect(ids).toEqual((await tokenize({ messages: turns.slice(0, 1) })).tokens)
    })

    it('of several texts', async () => {
      const all = await render({ prompt: ['Hello world', 'Goodbye world'] })
      expect(all).toHaveLength(2)
      for (const { request_id: id, token_ids: ids } of all) {
        expect(id).toMatch(/^cmpl-/)
        expect(ids.length).toBeGreaterThan(0)
      }
    })

    it('of several turns', async () => {
      const { token_ids: ids } = await renderChat({ messages: turns })
      expect(ids).toEqual((await tokenize({ messages: turns })).tokens)
    })

    it('stream: true is said again, and not done', async () => {
      const options = { include_usage: true, continuous_usage_stats: true }
      const { headers, body } = await asking.post<Rendered>('/v1/chat/completions/render', {
        messages: turns,
        stream: true,
        stream_options: options,
      })
      expect(headers.get('content-type')).toMatch(/^application\/json/)
      expect(body).toMatchObject({ stream: true, stream_options: options })
    })

    it.each([
      ['/v1/completions/render', { prompt: 'Hello' }],
      ['/v1/chat/completions/render', { messages: turns }],
    ])('%s: a model of another name is not there', async (path, body) => {
      const answer = await asking.post<ErrorAnswer>(path, { model: 'invalid-model-name', ...body })
      expect([answer.status, answer.body.error.param]).toEqual([404, 'model'])
    })

    it('nothing runs', async () => {
      const before = performance.now()
      await render({ prompt: 'Tell me a very long story about '.repeat(10), max_tokens: 900, ignore_eos: true })
      expect(performance.now() - before).toBeLessThan(1000)
    })

    it('sampling parameters are as they were given', async () => {
      const { sampling_params: params } = await renderChat({
        messages: turns,
        temperature: 0.123,
        top_p: 0.456,
        frequency_penalty: 1.1,
      })
      expect(params).toMatchObject({ temperature: 0.123, top_p: 0.456, frequency_penalty: 1.1 })
      expect(Object.keys(params).filter((name) => name.startsWith('_'))).toEqual([])
    })
  })
})
