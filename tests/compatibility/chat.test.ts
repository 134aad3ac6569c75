/**
 * What vLLM's own tests ask of /v1/chat/completions (tests/entrypoints/openai/chat_completion: test_chat, test_chat_echo,
 * test_chat_logit_bias_validation, test_chat_stop_token_ids_validation, test_non_object_body_validation;
 * basic: test_return_token_ids), each `it` one of theirs in our words, against octavo-tiny.
 */
import OpenAI, { BadRequestError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { askAt, collect } from './ask.ts'
import type { Asking } from './ask.ts'

type Params = OpenAI.ChatCompletionCreateParamsNonStreaming
type Completion = OpenAI.ChatCompletion & {
  readonly prompt_logprobs: readonly (Readonly<Record<string, object>> | null)[] | null
  readonly prompt_token_ids: readonly number[] | null
  readonly choices: readonly { readonly token_ids: readonly number[] | null }[]
}
type Chunk = OpenAI.ChatCompletionChunk & {
  readonly prompt_token_ids?: readonly number[] | null
  readonly choices: readonly { readonly token_ids?: readonly number[] | null }[]
}

const system = { role: 'system', content: 'You are a helpful assistant.' }
const messages = [system, { role: 'user', content: 'Hello!' }]
const conversation = [
  ...messages,
  { role: 'assistant', content: 'Hello! How can I help you?' },
  { role: 'user', content: 'Tell me about the sun.' },
]

describe('chat completions', () => {
  let server: TinyServer
  let client: OpenAI
  let asking: Asking
  beforeAll(async () => {
    server = await startTinyServer()
    client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })
    asking = askAt(server.origin)
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const params = (more: object): Params =>
    ({ model: server.model, messages, max_completion_tokens: 10, temperature: 0, ...more }) as Params
  const chat = async (more: object = {}) => (await client.chat.completions.create(params(more))) as Completion
  const choice = async (more: object = {}) => (await chat(more)).choices[0]!
  const content = async (more: object = {}) => (await choice(more)).message.content
  const streamed = async (more: object = {}) =>
    (await collect(await client.chat.completions.create({ ...params(more), stream: true }))) as Chunk[]
  const textOf = async (tokens: readonly number[]) =>
    (await asking.post<{ prompt: string }>('/detokenize', { tokens })).body.prompt

  it('no logprobs unless asked for', async () => {
    expect((await choice({ logprobs: false })).logprobs).toBeNull()
  })

  it.each([0, 5])('top_logprobs: %d', async (top) => {
    const { logprobs } = await choice({ logprobs: true, top_logprobs: top })
    for (const token of logprobs!.content!) {
      expect(token.top_logprobs).toHaveLength(top)
      expect(Buffer.from(token.bytes!).toString()).toBe(token.token)
    }
  })

  it('more than 20 top_logprobs are refused, streamed or not, and the server goes on', async () => {
    await expect(streamed({ logprobs: true, top_logprobs: 21 })).rejects.toThrow(BadRequestError)
    await expect(chat({ logprobs: true, top_logprobs: 30 })).rejects.toThrow(BadRequestError)
    expect(await content()).toEqual(expect.any(String))
  })

  it('top_logprobs without logprobs are refused', async () => {
    await expect(chat({ top_logprobs: 2 })).rejects.toThrow(/top_logprobs/)
  })

  it.each([0, 1])('prompt_logprobs: %d', async (promptLogprobs) => {
    const { prompt_logprobs: rows } = await chat({ messages: conversation, prompt_logprobs: promptLogprobs })
    expect(rows!.length).toBeGreaterThan(3)
  })

  it('prompt_logprobs: -1 is beyond the limit, and none come unasked', async () => {
    await expect(chat({ prompt_logprobs: -1 })).rejects.toThrow(BadRequestError)
    expect((await chat()).prompt_logprobs).toBeNull()
    await expect(streamed({ prompt_logprobs: 1 })).rejects.toThrow(/prompt_logprobs/)
  })

  it('two prompt_logprobs are one more than one', async () => {
    const rowsOf = async (count: number) =>
      (await chat({ messages: conversation, prompt_logprobs: count })).prompt_logprobs!
    const [one, two] = [await rowsOf(1), await rowsOf(2)]
    const sizes = (rows: typeof one) => rows.slice(1).map((row) => Object.keys(row!).length)
    expect(Math.min(...sizes(one))).toBe(1)
    expect(Math.min(...sizes(two))).toBe(2)
  })

  it('a session of several turns, with usage', async () => {
    const first = await chat({ max_completion_tokens: 5, logprobs: true, top_logprobs: 5 })
    expect(first.id).toMatch(/^chatcmpl-/)
    expect(first.choices).toMatchObject([{ index: 0, finish_reason: 'length', message: { role: 'assistant' } }])
    const { prompt_tokens: numPrompt, completion_tokens: numCompletion, total_tokens: total } = first.usage!
    expect([numCompletion, total]).toEqual([5, numPrompt + 5])
    const answer = { role: 'assistant', content: first.choices[0]!.message.content }
    const more = [...messages, answer, { role: 'user', content: 'Go on.' }]
    expect(await content({ messages: more })).toEqual(expect.any(String))
  })

  it('a stream says what the whole does', async () => {
    const whole = await choice()
    const chunks = await streamed()
    expect(chunks.map(({ choices: [one] }) => one!.delta.content ?? '').join('')).toBe(whole.message.content)
    expect(chunks.flatMap(({ choices: [one] }) => one!.delta.role ?? [])).toEqual(['assistant'])
    const reasons = chunks.map(({ choices: [one] }) => one!.finish_reason)
    expect(reasons.filter((reason) => reason !== null)).toEqual([whole.finish_reason])
    expect(reasons.at(-1)).toBe(whole.finish_reason)
  })

  describe('stream_options', () => {
    it('without include_usage there is none', async () => {
      for (const { usage } of await streamed({ stream_options: { include_usage: false } }))
        expect(usage ?? null).toBeNull()
    })

    it('include_usage: on a last chunk without choices', async () => {
      const chunks = await streamed({ stream_options: { include_usage: true, continuous_usage_stats: false } })
      expect(chunks.filter(({ usage }) => usage != null)).toEqual([chunks.at(-1)])
      expect(chunks.at(-1)!.choices).toEqual([])
    })

    it('continuous_usage_stats: on every chunk, and growing', async () => {
      const options = { include_usage: true, continuous_usage_stats: true }
      const chunks = await streamed({ stream_options: options, min_tokens: 10 })
      const counts = chunks.map(({ usage }) => usage!.completion_tokens)
      expect(counts).toEqual(counts.toSorted((a, b) => a - b))
      expect(counts.at(-1)).toBe(10)
      for (const { usage } of chunks) expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens)
    })

    it('needs a stream', async () => {
      await expect(chat({ stream_options: { include_usage: true } })).rejects.toThrow(BadRequestError)
    })
  })

  describe('structured outputs', () => {
    const languages = ['Python', 'Java', 'C++', 'Rust', 'TypeScript']
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string', maxLength: 12 },
        age: { type: 'integer', minimum: 0, maximum: 150 },
        skills: { type: 'array', items: { type: 'string', maxLength: 8 }, minItems: 1, maxItems: 2 },
      },
      required: ['name', 'age', 'skills'],
      additionalProperties: false,
    }
    const address = String.raw`((25[0-5]|(2[0-4]|1\d|[1-9]|)\d)\.){3}(25[0-5]|(2[0-4]|1\d|[1-9]|)\d)`

    it('choice', async () => {
      const choose = { structured_outputs: { choice: languages }, temperature: 0.7, seed: 3 }
      const first = await content(choose)
      expect(languages).toContain(first)
      const more = [...messages, { role: 'assistant', content: first }, { role: 'user', content: 'Pick another.' }]
      expect(languages).toContain(await content({ ...choose, messages: more }))
    })

    it('choice, with logprobs of what may come only', async () => {
      const { logprobs } = await choice({ structured_outputs: { choice: languages }, logprobs: true, top_logprobs: 5 })
      for (const { top_logprobs: top } of logprobs!.content!)
        for (const { logprob } of top) expect(logprob).toBeGreaterThanOrEqual(-9999)
    })

    it('json', async () => {
      const text = await content({ structured_outputs: { json: schema }, max_completion_tokens: 200 })
      const value = JSON.parse(text!) as { name: string; age: number; skills: string[] }
      expect(Object.keys(value).toSorted()).toEqual(['age', 'name', 'skills'])
      expect(Number.isInteger(value.age)).toBe(true)
      expect(value.skills.length).toBeGreaterThan(0)
    })

    it('regex', async () => {
      const text = await content({ structured_outputs: { regex: address }, max_completion_tokens: 40 })
      expect(text).toMatch(new RegExp(`^${address}$`))
    })

    it('response_format: json_object', async () => {
      const options = { response_format: { type: 'json_object' }, max_completion_tokens: 100, temperature: 0 }
      const { message, finish_reason: reason } = await choice(options)
      if (reason === 'stop') expect(typeof JSON.parse(message.content!)).toBe('object')
      expect(message.content!.trimStart()).toMatch(/^\{/)
    })

    it('response_format: json_schema', async () => {
      const ofResult = {
        type: 'object',
        properties: { result: { type: 'integer', minimum: 0, maximum: 9 } },
        required: ['result'],
        additionalProperties: false,
      }
      const format = { type: 'json_schema', json_schema: { name: 'foo_test', schema: ofResult } }
      expect(await content()).not.toMatch(/^\{/)
      const text = await content({ response_format: format, max_completion_tokens: 60 })
      expect(JSON.parse(text!)).toEqual({ result: expect.any(Number) })
    })

    it('response_format: text', async () => {
      expect(await content({ response_format: { type: 'text' } })).toBe(await content())
    })

    it.each([
      ['of the wrong type', { regex: { 1: 'Python' } }],
      ['no object', 3],
      ['of two kinds', { json: { type: 'object' }, regex: '.*' }],
      ['of no kind', {}],
    ])('%s: refused', async (_, constraint) => {
      await expect(chat({ structured_outputs: constraint })).rejects.toThrow(/structured_outputs/)
    })
  })

  it('fields of messages that nobody knows are let through', async () => {
    expect(await content({ messages: [{ role: 'user', content: 'Hello!', extra_field: '0' }] })).toEqual(
      expect.any(String),
    )
  })

  it('content in parts is the same as the text', async () => {
    const parts = [{ role: 'user', content: [{ type: 'text', text: 'Hello!' }] }]
    expect(await content({ messages: parts })).toBe(await content({ messages: [{ role: 'user', content: 'Hello!' }] }))
  })

  it('roles of the client’s own, with text and with parts', async () => {
    const asText = await content({ messages: [{ role: 'my-custom-role', content: 'Hello!' }] })
    const asParts = [{ role: 'my-custom-role', content: [{ type: 'text', text: 'Hello!' }] }]
    expect(await content({ messages: asParts })).toBe(asText)
  })

  it.each(['-9223372036854775809', '9223372036854775808'])('a seed beyond 64 bits is refused: %s', async (seed) => {
    const response = await fetch(`${server.baseURL}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"messages": [{"role": "user", "content": "a"}], "max_tokens": 1, "seed": ${seed}}`,
    })
    expect(response.status).toBe(400)
    expect(await response.text()).toMatch(/seed/)
  })

  it('/invocations answers the same', async () => {
    const request = params({ max_completion_tokens: 5, logprobs: false })
    const direct = await chat({ max_completion_tokens: 5, logprobs: false })
    const { body } = await asking.post<Completion>('/invocations', request)
    expect(Object.keys(body)).toEqual(Object.keys(direct))
    expect(body.choices).toEqual(direct.choices)
  })

  it('n: several choices that differ', async () => {
    const { choices } = await chat({ n: 3, temperature: 2, seed: 5, max_completion_tokens: 20 })
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2])
    const texts = choices.map(({ message }) => message.content!)
    for (const text of texts) expect(text.length).toBeGreaterThan(0)
    expect(new Set(texts).size).toBeGreaterThan(1)
  })

  it('n, streamed', async () => {
    const several = { n: 2, temperature: 0.7, seed: 6, max_completion_tokens: 15 }
    const texts = ['', '']
    for (const { choices } of await streamed(several))
      for (const { index, delta } of choices) texts[index] += delta.content ?? ''
    expect(texts).toEqual((await chat(several)).choices.map(({ message }) => message.content))
  })

  it('n with a seed: the same choices again', async () => {
    const seeded = { n: 2, temperature: 0.8, seed: 42 }
    const textsOf = async () => (await chat(seeded)).choices.map(({ message }) => message.content)
    expect(await textsOf()).toEqual(await textsOf())
  })

  it('n: 1 is one', async () => {
    expect((await chat({ n: 1 })).choices).toMatchObject([{ index: 0, message: { content: expect.any(String) } }])
  })

  it('n: 0 is refused', async () => {
    await expect(chat({ n: 0 })).rejects.toThrow(BadRequestError)
  })

  it.each([true, false])('continue_final_message with echo: %j', async (echo) => {
    const saying = 'Here is a saying: an apple a day'
    const begun = [
      { role: 'user', content: 'Tell me a saying.' },
      { role: 'assistant', content: saying },
    ]
    const { message } = await choice({
      messages: begun,
      echo,
      continue_final_message: true,
      add_generation_prompt: false,
    })
    expect(message.role).toBe('assistant')
    expect(message.content!.includes(saying)).toBe(echo)
  })

  it('continue_final_message excludes add_generation_prompt', async () => {
    await expect(chat({ continue_final_message: true, add_generation_prompt: true })).rejects.toThrow(
      /continue_final_message/,
    )
  })

  describe('token ids in fields', () => {
    it('logit_bias within the vocabulary', async () => {
      expect(await content({ logit_bias: { '2559': 1 } })).toEqual(expect.any(String))
    })

    it('logit_bias beyond it: both numbers are told', async () => {
      await expect(chat({ logit_bias: { '2561': 1 } })).rejects.toThrow(/2561.*2559/)
    })

    it.each([{ not_a_token_id: 50 }, { '1': 'not_a_number' }, { bad1: 50, bad2: 20 }])(
      'logit_bias: %j',
      async (bias) => {
        await expect(chat({ logit_bias: bias })).rejects.toThrow(/logit_bias/)
      },
    )

    it('stop_token_ids', async () => {
      await expect(chat({ stop_token_ids: [999_999] })).rejects.toThrow(/stop_token_ids/)
      await expect(chat({ stop_token_ids: ['a'] })).rejects.toThrow(/stop_token_ids/)
    })
  })

  it.each(['"this is not an object"', '["not", "an", "object"]', '42', 'null', '{{{', ''])(
    'a body %s is refused',
    async (body) => {
      const response = await fetch(`${server.baseURL}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      expect(response.status).toBe(400)
      expect(await response.json()).toMatchObject({ error: { message: expect.any(String) } })
    },
  )

  it('an empty cache_salt is refused', async () => {
    await expect(chat({ cache_salt: '' })).rejects.toThrow(/cache_salt/)
  })

  it('messages there must be', async () => {
    await expect(chat({ messages: [] })).rejects.toThrow(BadRequestError)
    await expect(chat({ messages: null })).rejects.toThrow(BadRequestError)
  })

  describe('return_token_ids', () => {
    const withIds = {
      messages: [system, { role: 'user', content: 'Repeat after me: I love cats 🐱' }],
      return_token_ids: true,
    }

    it('are those of the rendered conversation and of the answer', async () => {
      const { prompt_token_ids: promptIds, choices } = await chat(withIds)
      const prompt = await textOf(promptIds!)
      for (const { content: text } of withIds.messages) expect(prompt).toContain(text)
      expect(await textOf(choices[0]!.token_ids!)).toContain(choices[0]!.message.content)
      const without = await chat({ ...withIds, return_token_ids: false })
      expect([without.prompt_token_ids, without.choices[0]!.token_ids]).toEqual([null, null])
    })

    it('streamed: those of the prompt on the first chunk only', async () => {
      const whole = await chat(withIds)
      const [first, ...later] = await streamed(withIds)
      expect(first!.prompt_token_ids).toEqual(whole.prompt_token_ids)
      for (const chunk of later) expect(chunk.prompt_token_ids ?? null).toBeNull()
      const told = [first!, ...later].flatMap(({ choices: [one] }) => one?.token_ids ?? [])
      expect(told).toEqual(whole.choices[0]!.token_ids)
    })
  })
})
