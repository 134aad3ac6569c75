/**
 * What vLLM's own tests ask of /v1/completions (tests/entrypoints/openai/completion: test_completion, test_prompt_validation,
 * test_completion_error; basic: test_return_token_ids), each `it` one of theirs in our words, against octavo-tiny.
 */
import OpenAI, { BadRequestError } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTinyServer } from '../clients/tiny-server.ts'
import type { TinyServer } from '../clients/tiny-server.ts'
import { askAt, collect } from './ask.ts'
import type { Asking } from './ask.ts'

type Params = OpenAI.CompletionCreateParamsNonStreaming
type Choice = OpenAI.CompletionChoice & {
  readonly prompt_logprobs: readonly (Readonly<Record<string, object>> | null)[] | null
  readonly token_ids: readonly number[] | null
  readonly prompt_token_ids: readonly number[] | null
}

const ids = [7, 7, 7, 7, 7]

describe('completions', () => {
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
    ({ model: server.model, prompt: 'Hello, my name is', max_tokens: 5, temperature: 0, ...more }) as Params
  const complete = (more: object) => client.completions.create(params(more))
  const choices = async (more: object) => (await complete(more)).choices as Choice[]
  const choice = async (more: object) => (await choices(more))[0]!
  const streamed = async (more: object) => {
    const stream = await client.completions.create({ ...params(more), stream: true })
    return collect(stream as AsyncIterable<OpenAI.Completion>)
  }
  const tokensOf = async (prompt: string) =>
    (await asking.post<{ tokens: number[] }>('/tokenize', { prompt })).body.tokens
  const textOf = async (tokens: readonly number[]) =>
    (await asking.post<{ prompt: string }>('/detokenize', { tokens })).body.prompt

  it('one, of a text and of token ids', async () => {
    const { id, choices: made, usage } = await complete({ ignore_eos: true })
    expect(id).toMatch(/^cmpl-/)
    expect(made).toMatchObject([{ index: 0, finish_reason: 'length', text: expect.stringMatching(/.{5}/s) }])
    const numPromptTokens = (await tokensOf('Hello, my name is')).length
    expect(usage).toMatchObject({
      prompt_tokens: numPromptTokens,
      completion_tokens: 5,
      total_tokens: numPromptTokens + 5,
      prompt_tokens_details: { cached_tokens: 0 },
    })
    const ofIds = await choice({ prompt: ids })
    expect(ofIds.text.length).toBeGreaterThan(0)
    expect(ofIds.prompt_logprobs).toBeNull()
  })

  it.each([
    ['right', [1, 2, 3, 4]],
    ['left', [5, 6, 7, 8]],
  ])('a prompt is cut on the side that truncation_side names: %s', async (side, kept) => {
    const cut = await choice({
      prompt: [1, 2, 3, 4, 5, 6, 7, 8],
      max_tokens: 1,
      return_token_ids: true,
      truncate_prompt_tokens: 4,
      truncation_side: side,
    })
    expect(cut.prompt_token_ids).toEqual(kept)
  })

  it('no logprobs unless asked for', async () => {
    expect((await choice({ prompt: ids, logprobs: null })).logprobs).toBeNull()
  })

  it.each([
    [0, 1, 1],
    [5, 5, 6],
  ])('logprobs: %d', async (logprobs, least, most) => {
    const { logprobs: given } = await choice({ prompt: ids, logprobs })
    expect(given!.token_logprobs).toHaveLength(given!.tokens!.length)
    const numTop = Object.keys(given!.top_logprobs![0]!).length
    expect(numTop).toBeGreaterThanOrEqual(least)
    expect(numTop).toBeLessThanOrEqual(most)
  })

  it('more than 20 logprobs are refused, and the server goes on', async () => {
    await expect(complete({ prompt: ids, logprobs: 21 })).rejects.toThrow(BadRequestError)
    await expect(streamed({ prompt: ids, logprobs: 30 })).rejects.toThrow(BadRequestError)
    expect((await choice({ prompt: ids })).text).toEqual(expect.any(String))
  })

  const twoPrompts = ['A robot may not injure another robot', 'My name is']

  it('prompt_logprobs: -1 is beyond the limit', async () => {
    await expect(complete({ prompt: twoPrompts, prompt_logprobs: -1 })).rejects.toThrow(BadRequestError)
  })

  it.each([0, 1])('prompt_logprobs: %d', async (promptLogprobs) => {
    const made = await choices({ prompt: twoPrompts, prompt_logprobs: promptLogprobs })
    expect(made).toHaveLength(2)
    for (const { prompt_logprobs: rows } of made) {
      expect(rows!.length).toBeGreaterThan(1)
      expect(rows![0]).toBeNull()
      expect(Object.keys(rows![1]!).length).toBeGreaterThanOrEqual(1)
    }
  })

  it('no prompt_logprobs unless asked for', async () => {
    for (const { prompt_logprobs: rows } of await choices({ prompt: twoPrompts })) expect(rows).toBeNull()
  })

  it('a stream says what the whole does, with one finish_reason, on its last chunk', async () => {
    const whole = await choice({ prompt: 'What is an LLM?', ignore_eos: true })
    const chunks = await streamed({ prompt: 'What is an LLM?', ignore_eos: true })
    expect(chunks.map(({ choices: [one] }) => one!.text).join('')).toBe(whole.text)
    const reasons = chunks.map(({ choices: [one] }) => one!.finish_reason)
    expect(reasons.filter((reason) => reason != null)).toEqual(['length'])
    expect(reasons.at(-1)).toBe('length')
  })

  const several = { prompt: 'What is an LLM?', max_tokens: 50, n: 3, temperature: 2, seed: 42 }

  it('n samples are different, and end at different times', async () => {
    const made = await choices({ ...several, logprobs: 0 })
    expect(made.map(({ index }) => index)).toEqual([0, 1, 2])
    for (const { finish_reason: reason } of made) expect(reason).not.toBeNull()
    expect(new Set(made.map(({ text }) => text)).size).toBe(3)
    expect(new Set(made.map(({ logprobs }) => logprobs!.tokens!.length)).size).toBeGreaterThan(1)
  })

  it('n samples in one stream, told apart by their index', async () => {
    const texts = ['', '', '']
    const reasons: unknown[] = []
    for (const { choices: made } of await streamed(several)) {
      expect(made).toHaveLength(1)
      texts[made[0]!.index] += made[0]!.text
      if (made[0]!.finish_reason != null) reasons.push(made[0]!.finish_reason)
    }
    expect(reasons).toHaveLength(3)
    expect(texts).toEqual((await choices(several)).map(({ text }) => text))
  })

  describe('stream_options', () => {
    const withUsage = (chunks: readonly OpenAI.Completion[]) => chunks.filter(({ usage }) => usage != null)

    it.each([{ include_usage: false, continuous_usage_stats: false }, {}])('%j: no usage', async (options) => {
      expect(withUsage(await streamed({ stream_options: options }))).toEqual([])
    })

    it('include_usage: on a last chunk without choices', async () => {
      const chunks = await streamed({ stream_options: { include_usage: true, continuous_usage_stats: false } })
      expect(withUsage(chunks)).toEqual([chunks.at(-1)])
      const { usage, choices: none } = chunks.at(-1)!
      expect(none).toEqual([])
      expect(usage!.prompt_tokens).toBeGreaterThan(0)
      expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens)
    })

    it('continuous_usage_stats: on every chunk', async () => {
      const chunks = await streamed({ stream_options: { include_usage: true, continuous_usage_stats: true } })
      expect(withUsage(chunks)).toEqual(chunks)
      expect(chunks.at(-1)!.choices).toEqual([])
      for (const { usage } of chunks) expect(usage!.total_tokens).toBe(usage!.prompt_tokens + usage!.completion_tokens)
    })

    it.each([{ include_usage: true }, { continuous_usage_stats: true }])('%j needs a stream', async (options) => {
      await expect(complete({ stream_options: options })).rejects.toThrow(BadRequestError)
    })
  })

  it.each([
    ['texts', ['Hello, my name is', 'Hello, my name is']],
    ['token ids', [ids, ids]],
  ])('batches of %s, whole, streamed and with n', async (_, prompt) => {
    const made = await choices({ prompt })
    expect(made.map(({ index }) => index)).toEqual([0, 1])
    expect(made[0]!.text).toBe(made[1]!.text)
    const texts = ['', '']
    for (const { choices: parts } of await streamed({ prompt })) texts[parts[0]!.index] += parts[0]!.text
    expect(texts).toEqual(made.map(({ text }) => text))
    const four = await choices({ prompt, n: 2, temperature: 1, seed: 1 })
    expect(four.map(({ index }) => index)).toEqual([0, 1, 2, 3])
    expect(four[2]!.text).toBe(four[0]!.text)
    expect(four[3]!.text).toBe(four[1]!.text)
  })

  it.each([0, 1])('echo with logprobs: %d', async (logprobs) => {
    for (const prompt of ['Hello, my name is', ids]) {
      const { text, logprobs: given } = await choice({ prompt, echo: true, logprobs })
      expect(text.startsWith(typeof prompt === 'string' ? prompt : await textOf(prompt))).toBe(true)
      expect(given!.tokens!.length).toBeGreaterThan(5)
      expect(given!.text_offset).toHaveLength(given!.tokens!.length)
      expect([given!.token_logprobs![0], given!.top_logprobs![0]]).toEqual([null, null])
      for (const top of given!.top_logprobs!.slice(1)) {
        expect(Object.keys(top).length).toBeGreaterThanOrEqual(Math.max(logprobs, 1))
        expect(Object.keys(top).length).toBeLessThanOrEqual(logprobs + 1)
      }
    }
  })

  it.each([
    ['a schema', { json: { type: 'object', properties: { brand: { type: 'string' }, foo: 'bar' } } }],
    ['a regular expression', { regex: '[.*' }],
    ['a grammar', { grammar: 'root ::= selectinvalid\nselect ::= "SELECT " column\ncolumn ::= "a" | "b"' }],
  ])('%s that is none is refused', async (_, constraint) => {
    await expect(complete({ structured_outputs: constraint })).rejects.toThrow(BadRequestError)
    expect((await choice({})).text).toEqual(expect.any(String))
  })

  it('a prompt there must be', async () => {
    await expect(complete({ prompt: null })).rejects.toThrow(BadRequestError)
    await expect(complete({ prompt: [] })).rejects.toThrow(BadRequestError)
    await expect(complete({ prompt: [[]] })).rejects.toThrow(BadRequestError)
    await expect(complete({ prompt: '' })).rejects.toThrow(BadRequestError)
  })

  it('token ids beyond the vocabulary are refused', async () => {
    await expect(complete({ prompt: [999_999] })).rejects.toThrow(/out of vocabulary/)
  })

  describe('return_token_ids', () => {
    const prompt = 'Complete this with emojis: I love coding 🚀'

    it('are the tokens of prompt and text, and absent unless asked for', async () => {
      const made = await choice({ prompt, max_tokens: 10, logprobs: 1, return_token_ids: true })
      expect(made.prompt_token_ids).toEqual(await tokensOf(prompt))
      expect((await textOf(made.token_ids!)).startsWith(made.text)).toBe(true)
      const without = await choice({ prompt, max_tokens: 10, return_token_ids: false })
      expect([without.token_ids, without.prompt_token_ids]).toEqual([null, null])
    })

    it('agree with the logprobs named by token ids, in a stream too', async () => {
      const both = { max_tokens: 20, logprobs: 1, return_token_ids: true, return_tokens_as_token_ids: true }
      const idsIn = (tokens: readonly string[]) => tokens.map((token) => Number(token.replace(/^token_id:/, '')))
      const echoed = await choice({ ...both, prompt, echo: true, prompt_logprobs: 1 })
      const named = idsIn(echoed.logprobs!.tokens!)
      expect(named).toEqual([...echoed.prompt_token_ids!, ...echoed.token_ids!])
      expect(echoed.prompt_logprobs).toHaveLength(echoed.prompt_token_ids!.length)
      const chunks = (await streamed({ ...both, prompt })).map(({ choices: [one] }) => one as Choice)
      expect(chunks[0]!.prompt_token_ids).toEqual(echoed.prompt_token_ids)
      for (const later of chunks.slice(1)) expect(later.prompt_token_ids ?? null).toBeNull()
      const told = chunks.flatMap(({ token_ids: one }) => one ?? [])
      expect(told).toEqual(chunks.flatMap(({ logprobs }) => idsIn(logprobs?.tokens ?? [])))
    })
  })

  it('a model of another name is not there', async () => {
    await expect(complete({ model: 'no-such-model' })).rejects.toMatchObject({ status: 404 })
  })
})
