import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** A running server and what the suite may expect of it. */
export interface OpenAiTarget {
  /** With the trailing /v1. */
  readonly baseURL: string
  readonly model: string
  readonly apiKey: string | null
  /** Context in tokens. */
  readonly maxModelLen: number
  /** Whether chat completions are served. */
  readonly hasChatTemplate: boolean
  /** A text that the model can continue for some 24 tokens (end-of-sequence is ignored where length matters). */
  readonly prompt: string
  close(): Promise<void>
}

type Chat = OpenAI.ChatCompletionCreateParamsNonStreaming
type Text = OpenAI.CompletionCreateParamsNonStreaming

/** Fields beyond OpenAI's, which its client passes on but does not know. */
interface Extras {
  readonly ignore_eos?: boolean
  readonly top_k?: number
  readonly return_token_ids?: boolean
  readonly include_stop_str_in_output?: boolean
}

/**
 * The official client against a server: shapes and invariants that hold for any model, greedy unless said otherwise.
 * Parts that need a chat template or a key are skipped, and say so, where the target has none.
 */
export function describeOpenAiClient(name: string, start: () => Promise<OpenAiTarget>): void {
  describe(`the openai client against ${name}`, () => {
    let target: OpenAiTarget
    let client: OpenAI

    beforeAll(async () => {
      target = await start()
      client = new OpenAI({ baseURL: target.baseURL, apiKey: target.apiKey ?? 'none', maxRetries: 0 })
    }, 300_000)
    afterAll(async () => target?.close())

    const chatParams = (more: Partial<Chat> & Extras = {}): Chat & Extras => ({
      model: target.model,
      messages: [{ role: 'user', content: target.prompt }],
      max_tokens: 12,
      temperature: 0,
      ...more,
    })
    const textParams = (more: Partial<Text> & Extras = {}): Text & Extras => ({
      model: target.model,
      prompt: target.prompt,
      max_tokens: 12,
      temperature: 0,
      ...more,
    })

    describe('models', () => {
      it('lists and retrieves what is served', async () => {
        const list = await client.models.list()
        expect(list.data.map(({ id }) => id)).toContain(target.model)
        const model = await client.models.retrieve(target.model)
        expect(model).toMatchObject({ id: target.model, object: 'model' })
      })

      it('answers 404 for an unknown model, naming it and the known ones', async () => {
        const failure = await failureOf(client.completions.create(textParams({ model: 'no-such-model' })))
        expect(failure).toBeInstanceOf(OpenAI.NotFoundError)
        expect(failure.message).toContain('no-such-model')
        expect(failure.message).toContain(target.model)
      })
    })

    describe('completions', () => {
      it('answers with text and a usage that adds up', async () => {
        const completion = await client.completions.create(textParams())
        expect(completion).toMatchObject({ object: 'text_completion', model: target.model })
        expect(completion.id).toMatch(/^cmpl-/)
        expect(completion.choices).toHaveLength(1)
        expect(['stop', 'length']).toContain(completion.choices[0]?.finish_reason)
        checkUsage(completion.usage, 12)
      })

      it('makes exactly max_tokens tokens when end-of-sequence is ignored', async () => {
        const completion = await client.completions.create(textParams({ ignore_eos: true, max_tokens: 9 }))
        expect(completion.usage?.completion_tokens).toBe(9)
        expect(completion.choices[0]?.finish_reason).toBe('length')
      })

      it('streams the same text', async () => {
        const whole = await client.completions.create(textParams({ ignore_eos: true }))
        const stream = await client.completions.create({
          ...textParams({ ignore_eos: true }),
          stream: true,
          stream_options: { include_usage: true },
        })
        let text = ''
        const reasons: unknown[] = []
        let usage: OpenAI.CompletionUsage | null | undefined = null
        for await (const chunk of stream) {
          text += chunk.choices[0]?.text ?? ''
          if (chunk.choices[0]?.finish_reason != null) reasons.push(chunk.choices[0].finish_reason)
          if (chunk.choices.length === 0) usage = chunk.usage
        }
        expect(text).toBe(whole.choices[0]?.text)
        expect(reasons).toEqual([whole.choices[0]?.finish_reason])
        expect(usage).toMatchObject({
          prompt_tokens: whole.usage?.prompt_tokens,
          completion_tokens: whole.usage?.completion_tokens,
        })
      })

      it('answers several prompts in order, each as if alone', async () => {
        const prompts = [target.prompt, `${target.prompt} ${target.prompt}`]
        const together = await client.completions.create(textParams({ prompt: prompts }))
        expect(together.choices.map(({ index }) => index)).toEqual([0, 1])
        for (const [index, prompt] of prompts.entries()) {
          const alone = await client.completions.create(textParams({ prompt }))
          expect(together.choices[index]?.text).toBe(alone.choices[0]?.text)
        }
      })

      it('takes token ids for text', async () => {
        const byText = await client.completions.create(textParams({ return_token_ids: true }))
        const ids = numbersAt(byText.choices[0], 'prompt_token_ids')
        expect(ids).toHaveLength(byText.usage?.prompt_tokens ?? -1)
        expect(numbersAt(byText.choices[0], 'token_ids')).toHaveLength(byText.usage?.completion_tokens ?? -1)
        const byIds = await client.completions.create(textParams({ prompt: ids }))
        expect(byIds.choices[0]?.text).toBe(byText.choices[0]?.text)
      })

      it('echoes the prompt, alone with max_tokens 0', async () => {
        const plain = await client.completions.create(textParams())
        const echoed = await client.completions.create(textParams({ echo: true }))
        expect(echoed.choices[0]?.text).toBe(target.prompt + (plain.choices[0]?.text ?? ''))
        const alone = await client.completions.create(textParams({ echo: true, max_tokens: 0 }))
        expect(alone.choices[0]?.text).toBe(target.prompt)
        expect(alone.usage?.completion_tokens).toBe(0)
      })

      it('streams the logprobs and offsets of the complete answer, of an echoed prompt too', async () => {
        const params = textParams({ logprobs: 2, echo: true, ignore_eos: true })
        const whole = (await client.completions.create(params)).choices[0]
        const parts: OpenAI.CompletionChoice[] = []
        for await (const chunk of await client.completions.create({ ...params, stream: true }))
          parts.push(...chunk.choices)
        const streamed = (name: 'tokens' | 'text_offset' | 'token_logprobs'): unknown[] =>
          parts.flatMap(({ logprobs }): unknown[] => logprobs?.[name] ?? [])
        expect(parts.map(({ text }) => text).join('')).toBe(whole?.text)
        for (const name of ['tokens', 'text_offset', 'token_logprobs'] as const)
          expect(streamed(name)).toEqual(whole?.logprobs?.[name])
        const letters = [...(whole?.text ?? '')]
        for (const [at, token] of (whole?.logprobs?.tokens ?? []).entries()) {
          // Special tokens are not in the text, and half a character has no text of its own.
          if (/^<\|.*\|>$/.test(token) || token.includes('\u{fffd}')) continue
          expect(letters.slice(whole!.logprobs!.text_offset![at]).join('').startsWith(token)).toBe(true)
        }
      })

      it('reports legacy logprobs, of the prompt too with echo', async () => {
        const completion = await client.completions.create(textParams({ logprobs: 3, echo: true }))
        const logprobs = completion.choices[0]?.logprobs
        const numTokens = (completion.usage?.prompt_tokens ?? 0) + (completion.usage?.completion_tokens ?? 0)
        expect(logprobs?.tokens).toHaveLength(numTokens)
        expect(logprobs?.token_logprobs).toHaveLength(numTokens)
        expect(logprobs?.text_offset).toHaveLength(numTokens)
        expect(logprobs?.token_logprobs?.[0]).toBeNull()
        for (const logprob of logprobs?.token_logprobs?.slice(1) ?? []) expect(logprob).toBeLessThanOrEqual(0)
        // Under greedy, the generated token is the likeliest.
        const last = (logprobs?.token_logprobs?.length ?? 0) - 1
        const top = Object.values(logprobs?.top_logprobs?.[last] ?? {})
        expect(logprobs?.token_logprobs?.[last]).toBe(Math.max(...top))
      })
    })

    describe('chat completions', () => {
      const chatIt = (title: string, run: () => Promise<void>): void =>
        it(title, async (context) => {
          if (!target.hasChatTemplate) return context.skip('the model has no chat template')
          await run()
        })

      chatIt('answers as the assistant, with a usage that adds up', async () => {
        const completion = await client.chat.completions.create(chatParams())
        expect(completion).toMatchObject({ object: 'chat.completion', model: target.model })
        expect(completion.id).toMatch(/^chatcmpl-/)
        expect(completion.choices[0]?.message.role).toBe('assistant')
        expect(typeof completion.choices[0]?.message.content).toBe('string')
        expect(['stop', 'length']).toContain(completion.choices[0]?.finish_reason)
        checkUsage(completion.usage, 12)
        expect(completion.usage?.prompt_tokens_details?.cached_tokens).toBeGreaterThanOrEqual(0)
      })

      chatIt('streams the same text: the role first, one finish_reason, then usage', async () => {
        const whole = await client.chat.completions.create(chatParams({ ignore_eos: true }))
        const stream = await client.chat.completions.create({
          ...chatParams({ ignore_eos: true }),
          stream: true,
          stream_options: { include_usage: true },
        })
        const chunks: OpenAI.ChatCompletionChunk[] = []
        for await (const chunk of stream) chunks.push(chunk)
        expect(chunks[0]?.choices[0]?.delta).toMatchObject({ role: 'assistant', content: '' })
        expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')).toBe(
          whole.choices[0]?.message.content,
        )
        const reasons = chunks
          .flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason))
          .filter((reason) => reason !== null)
        expect(reasons).toEqual([whole.choices[0]?.finish_reason])
        expect(chunks.at(-1)?.choices).toEqual([])
        expect(chunks.at(-1)?.usage).toMatchObject({
          completion_tokens: whole.usage?.completion_tokens,
          total_tokens: whole.usage?.total_tokens,
        })
        expect(new Set(chunks.map(({ id }) => id)).size).toBe(1)
      })

      chatIt("works with the client's own stream helper", async () => {
        const whole = await client.chat.completions.create(chatParams())
        const runner = client.chat.completions.stream({ ...chatParams(), stream: true })
        expect((await runner.finalMessage()).content).toBe(whole.choices[0]?.message.content)
      })

      chatIt('reports logprobs: none above 0, the greedy token first among the top ones', async () => {
        const completion = await client.chat.completions.create(chatParams({ logprobs: true, top_logprobs: 3 }))
        const content = completion.choices[0]?.logprobs?.content ?? []
        expect(content).toHaveLength(completion.usage?.completion_tokens ?? -1)
        for (const { token, logprob, bytes, top_logprobs: top } of content) {
          expect(logprob).toBeLessThanOrEqual(0)
          expect(top).toHaveLength(3)
          expect(top[0]).toEqual({ token, logprob, bytes })
          expect(top.map((entry) => entry.logprob)).toEqual(top.map((entry) => entry.logprob).toSorted((a, b) => b - a))
        }
      })

      chatIt('ends at a stop string and leaves it out', async () => {
        const whole =
          (await client.chat.completions.create(chatParams({ ignore_eos: true, max_tokens: 24 }))).choices[0]?.message
            .content ?? ''
        const middle = Math.floor(whole.length / 2)
        const stop = whole.slice(middle, middle + 3)
        expect(stop).not.toBe('')
        const before = whole.slice(0, whole.indexOf(stop))
        const params = chatParams({ ignore_eos: true, max_tokens: 24, stop: [stop] })
        const stopped = await client.chat.completions.create(params)
        expect(stopped.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: before } })
        const kept = await client.chat.completions.create({
          ...params,
          include_stop_str_in_output: true,
        } as typeof params)
        expect(kept.choices[0]?.message.content).toBe(before + stop)
        const stream = await client.chat.completions.create({ ...params, stream: true })
        let text = ''
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
        expect(text).toBe(before)
      })

      chatIt('draws n samples, the same ones from the same seed', async () => {
        const params = chatParams({ n: 3, temperature: 1, seed: 7, ignore_eos: true })
        const first = await client.chat.completions.create(params)
        const second = await client.chat.completions.create(params)
        const textsOf = ({ choices }: OpenAI.ChatCompletion) =>
          choices.toSorted((a, b) => a.index - b.index).map(({ message }) => message.content)
        expect(first.choices.map(({ index }) => index).toSorted()).toEqual([0, 1, 2])
        expect(textsOf(second)).toEqual(textsOf(first))
        expect(first.usage?.completion_tokens).toBe(3 * 12)
        const stream = await client.chat.completions.create({ ...params, stream: true })
        const texts = ['', '', '']
        for await (const { choices } of stream)
          for (const { index, delta } of choices) texts[index] += delta.content ?? ''
        expect(texts).toEqual(textsOf(first))
      })

      chatIt('gives every request of a crowd the answer it has alone', async () => {
        const prompts = [1, 2, 3, 4].map((count) => Array<string>(count).fill(target.prompt).join(' '))
        const ask = (content: string) =>
          client.chat.completions.create(chatParams({ messages: [{ role: 'user', content }] }))
        const alone: (string | null | undefined)[] = []
        for (const prompt of prompts) alone.push((await ask(prompt)).choices[0]?.message.content)
        const crowd = await Promise.all(prompts.map(ask))
        expect(crowd.map(({ choices }) => choices[0]?.message.content)).toEqual(alone)
      })
    })

    describe('ends and errors', () => {
      it('goes on serving after a stream was left and another aborted', async () => {
        const endless = {
          ...textParams({ ignore_eos: true, max_tokens: Math.floor(target.maxModelLen / 2) }),
          stream: true,
        } as const
        for await (const chunk of await client.completions.create(endless)) {
          expect(chunk.choices.length).toBeGreaterThan(0)
          break
        }
        const controller = new AbortController()
        const stream = await client.completions.create(endless, { signal: controller.signal })
        let numChunks = 0
        for await (const _ of stream) {
          numChunks++
          controller.abort()
        }
        expect(numChunks).toBeLessThan(Math.floor(target.maxModelLen / 2))
        expect((await client.completions.create(textParams())).choices).toHaveLength(1)
      })

      it('answers 400 with the field for a value out of range', async () => {
        const failure = await failureOf(client.completions.create(textParams({ temperature: -1 })))
        expect(failure).toBeInstanceOf(OpenAI.BadRequestError)
        expect(failure).toMatchObject({ status: 400, param: 'temperature' })
      })

      it('answers 400 context_length_exceeded for a prompt that is too long', async () => {
        const prompt = Array<number>(target.maxModelLen + 1).fill(0)
        const failure = await failureOf(client.completions.create(textParams({ prompt })))
        expect(failure).toMatchObject({ status: 400, code: 'context_length_exceeded' })
        expect(failure.message).toContain(String(target.maxModelLen))
      })

      it('answers 401 for a wrong key where keys are asked for', async (context) => {
        if (target.apiKey === null) return context.skip('the server asks for no key')
        const stranger = new OpenAI({ baseURL: target.baseURL, apiKey: `${target.apiKey}x`, maxRetries: 0 })
        expect(await failureOf(stranger.completions.create(textParams()))).toBeInstanceOf(OpenAI.AuthenticationError)
      })
    })
  })
}

function checkUsage(usage: OpenAI.CompletionUsage | undefined, maxTokens: number): void {
  expect(usage?.prompt_tokens).toBeGreaterThan(0)
  expect(usage?.completion_tokens).toBeLessThanOrEqual(maxTokens)
  expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + (usage?.completion_tokens ?? 0))
}

async function failureOf(call: PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await call
  } catch (error) {
    if (error instanceof OpenAI.APIError) return error
    throw error
  }
  throw new Error('expected the call to fail')
}

/** An array of numbers in a field that OpenAI's types do not have. */
function numbersAt(object: object | undefined, field: string): number[] {
  const value: unknown = object === undefined ? undefined : Object.entries(object).find(([name]) => name === field)?.[1]
  if (!Array.isArray(value)) throw new Error(`expected an array in ${field}`)
  return value.map(Number)
}
