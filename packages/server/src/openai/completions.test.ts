import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createApp } from '../app.ts'
import type { FakeEngineOptions } from '../testing/fake-engine.ts'
import { FakeEngine } from '../testing/fake-engine.ts'
import { readEvents } from '../testing/read-events.ts'

interface Chunk {
  choices: {
    index: number
    text: string
    finish_reason: string | null
    prompt_token_ids: number[] | null
    token_ids?: number[]
    logprobs: { text_offset: number[]; tokens: string[] } | null
  }[]
  usage?: { prompt_tokens: number; completion_tokens: number }
}

async function ask(
  body: object,
  { engine = new FakeEngine(), ...options }: FakeEngineOptions & { engine?: FakeEngine } = {},
) {
  const used = Object.keys(options).length > 0 ? new FakeEngine(options) : engine
  const response = await createApp({ engine: used, version: '0' }).inject({
    method: 'POST',
    url: '/v1/completions',
    headers: { 'x-request-id': 'r' },
    payload: body,
  })
  return { engine: used, response }
}

function chunksOf(body: string): Chunk[] {
  return readEvents(body).filter((event): event is Chunk => typeof event === 'object')
}

describe('a complete answer', () => {
  it('makes 16 tokens by default', async () => {
    const { response } = await ask({ prompt: 'a b' })
    expect(response.json()).toEqual({
      id: 'cmpl-r',
      object: 'text_completion',
      created: expect.any(Number),
      model: 'fake',
      choices: [
        {
          index: 0,
          text: 'a b'.repeat(8),
          logprobs: null,
          finish_reason: 'length',
          stop_reason: null,
          prompt_logprobs: null,
          prompt_token_ids: null,
          token_ids: null,
        },
      ],
      service_tier: null,
      system_fingerprint: null,
      kv_transfer_params: null,
      usage: { prompt_tokens: 2, completion_tokens: 16, total_tokens: 18, prompt_tokens_details: { cached_tokens: 0 } },
    })
  })

  it('numbers the choices of several prompts with n', async () => {
    const { response, engine } = await ask({ prompt: ['a b c', 'x y'], n: 2, seed: 0, max_tokens: 2 })
    expect(response.json().choices.map(({ index, text }: { index: number; text: string }) => [index, text])).toEqual([
      [0, 'a b'],
      [1, ' b c'],
      [2, 'x y'],
      [3, ' yx'],
    ])
    expect(response.json().usage).toMatchObject({ prompt_tokens: 5, completion_tokens: 8, total_tokens: 13 })
    expect(engine.seen).toHaveLength(2)
  })

  it('takes token ids, one list or several', async () => {
    const engine = new FakeEngine()
    const [a, b] = engine.idsOf('a b')
    expect((await ask({ prompt: [a, b], max_tokens: 2 }, { engine })).response.json().choices[0].text).toBe('a b')
    const two = (await ask({ prompt: [[a], [b]], max_tokens: 1 }, { engine })).response.json()
    expect(two.choices.map(({ text }: { text: string }) => text)).toEqual(['a', ' b'])
  })

  it('echoes the prompt before the text, text or token ids', async () => {
    const engine = new FakeEngine()
    expect((await ask({ prompt: 'a b', max_tokens: 1, echo: true }, { engine })).response.json().choices[0].text).toBe(
      'a ba',
    )
    expect(
      (await ask({ prompt: engine.idsOf('a b'), max_tokens: 1, echo: true }, { engine })).response.json().choices[0]
        .text,
    ).toBe('a ba')
  })

  it('makes the echo once for all choices', async () => {
    const engine = new FakeEngine()
    const prompt = engine.idsOf('a b c')
    let numMade = 0
    const detokenize = engine.detokenize.bind(engine)
    engine.detokenize = (tokenIds) => {
      if (tokenIds.length === prompt.length) numMade++
      return detokenize(tokenIds)
    }
    for (const stream of [false, true]) {
      numMade = 0
      const body = { prompt, n: 20, seed: 0, max_tokens: 1, echo: true, logprobs: 1, stream }
      const { response } = await ask(body, { engine })
      expect(response.body.match(/"text":"a b c/g)).toHaveLength(20)
      expect(numMade).toBe(1)
    }
  })

  it('echoes the prompt alone with max_tokens 0', async () => {
    const { response } = await ask({ prompt: 'a b c', max_tokens: 0, echo: true, logprobs: 1, return_token_ids: true })
    const { choices, usage } = response.json()
    expect(choices[0]).toMatchObject({
      text: 'a b c',
      finish_reason: 'length',
      stop_reason: null,
      token_ids: [],
      prompt_token_ids: [0, 1, 2],
    })
    expect(choices[0].logprobs).toEqual({
      tokens: ['a', ' b', ' c'],
      token_logprobs: [null, Math.log(0.5), Math.log(0.5)],
      top_logprobs: [null, { ' b': Math.log(0.5) }, { ' c': Math.log(0.5) }],
      text_offset: [0, 1, 3],
    })
    expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 0, total_tokens: 3 })
  })

  it('refuses to echo token ids where the engine cannot name them', async () => {
    const engine = new FakeEngine()
    const mute = Object.assign(engine, { detokenize: undefined })
    const { response } = await ask(
      { prompt: engine.idsOf('a b'), echo: true },
      { engine: mute as unknown as FakeEngine },
    )
    expect(response.statusCode).toBe(400)
    expect(response.json().error.param).toBe('echo')
  })

  it('has legacy logprobs with offsets in code points', async () => {
    const { response } = await ask({ prompt: '😀 b', max_tokens: 3, logprobs: 2 })
    expect(response.json().choices[0].logprobs).toEqual({
      tokens: ['😀', ' b', '😀'],
      token_logprobs: [Math.log(0.5), Math.log(0.5), Math.log(0.5)],
      top_logprobs: [
        { '😀': Math.log(0.5), ' b': 2 * Math.log(0.5) },
        { ' b': Math.log(0.5), '😀': 2 * Math.log(0.5) },
        { '😀': Math.log(0.5), ' b': 2 * Math.log(0.5) },
      ],
      text_offset: [0, 1, 3],
    })
  })

  it('keeps the sampled token with logprobs 0, and names tokens by id where asked', async () => {
    const { response } = await ask({
      prompt: 'a b',
      max_tokens: 1,
      logprobs: 0,
      return_tokens_as_token_ids: true,
      prompt_logprobs: 0,
    })
    const [choice] = response.json().choices
    expect(choice.logprobs).toMatchObject({ tokens: ['token_id:0'], top_logprobs: [{ 'token_id:0': Math.log(0.5) }] })
    expect(choice.prompt_logprobs).toEqual([null, { 1: { logprob: Math.log(0.5), rank: 1, decoded_token: ' b' } }])
  })

  it('has the offsets that the engine says, whatever tokens are called', async () => {
    const engine = new FakeEngine()
    const generate = engine.generate.bind(engine)
    const textOffsets = [0, 1, 2, 2]
    engine.generate = async function* (request, signal) {
      for await (const output of generate(request, signal)) {
        const outputs = output.outputs.map((sample) => ({
          ...sample,
          logprobs: (sample.finishReason === null ? [] : textOffsets).map((textOffset) => {
            return {
              chosen: { tokenId: 200, logprob: -1, rank: 1, token: '\u{fffd}', bytes: [200] },
              top: [],
              textOffset,
            }
          }),
        }))
        yield { ...output, outputs }
      }
    }
    for (const asIds of [false, true]) {
      const body = { prompt: 'a', max_tokens: 1, logprobs: 0, return_tokens_as_token_ids: asIds }
      const { response } = await ask(body, { engine })
      expect(response.json().choices[0].logprobs.text_offset).toEqual(textOffsets)
    }
  })

  it('fails as a whole when one prompt fails, and stops the others', async () => {
    const pace = () => new Promise<void>((resolve) => setTimeout(resolve, 1))
    const { response, engine } = await ask(
      { prompt: ['a b', 'x '.repeat(40)], max_tokens: 28 },
      { maxModelLen: 30, pace },
    )
    expect(response.statusCode).toBe(400)
    expect(engine.seen[0]).toMatchObject({ state: 'aborted' })
    expect(engine.seen[0]?.numTokens).toBeLessThan(28)
  })
})

describe('a streamed answer', () => {
  it('streams all prompts, each choice with its own end', async () => {
    const { response } = await ask({
      prompt: ['a b c', 'x y'],
      n: 2,
      seed: 0,
      max_tokens: 3,
      stream: true,
      stream_options: { include_usage: true },
    })
    const chunks = chunksOf(response.body)
    const texts = ['', '', '', '']
    for (const { index, text } of chunks.flatMap(({ choices }) => choices)) texts[index] += text
    expect(texts).toEqual(['a b c', ' b ca', 'x yx', ' yx y'])
    const ends = chunks.flatMap(({ choices }) => choices).filter(({ finish_reason: reason }) => reason !== null)
    expect(ends.map(({ index }) => index).toSorted()).toEqual([0, 1, 2, 3])
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens: 5, completion_tokens: 12 } })
    expect(readEvents(response.body).at(-1)).toBe('[DONE]')
  })

  it('echoes the prompt once per choice', async () => {
    const { response } = await ask({ prompt: 'a b', n: 2, seed: 0, max_tokens: 2, echo: true, stream: true })
    const texts = ['', '']
    for (const { index, text } of chunksOf(response.body).flatMap(({ choices }) => choices)) texts[index] += text
    expect(texts).toEqual(['a ba b', 'a b ba'])
  })

  it('echoes the prompt alone with max_tokens 0', async () => {
    const { response } = await ask({
      prompt: 'a b',
      max_tokens: 0,
      echo: true,
      stream: true,
      stream_options: { include_usage: true },
    })
    const [only, usage] = chunksOf(response.body)
    expect(only?.choices).toEqual([expect.objectContaining({ text: 'a b', finish_reason: 'length' })])
    expect(usage?.usage).toMatchObject({ completion_tokens: 0 })
  })

  it('goes on counting text offsets from chunk to chunk', async () => {
    const { response } = await ask({ prompt: 'ab cd ef', max_tokens: 3, logprobs: 0, stream: true })
    expect(chunksOf(response.body).flatMap(({ choices }) => choices[0]?.logprobs?.text_offset ?? [])).toEqual([0, 2, 5])
  })

  it('has the offsets and logprobs of the complete answer, with echo and held-back text', async () => {
    const body = { prompt: 'ab cd ef', n: 2, seed: 0, max_tokens: 5, logprobs: 1, echo: true, stop: ['ef zz'] }
    const whole = (await ask(body)).response.json() as Chunk
    const streamed = await ask({ ...body, stream: true })
    for (const { index, text, logprobs } of whole.choices) {
      const parts = chunksOf(streamed.response.body)
        .flatMap(({ choices }) => choices)
        .filter((choice) => choice.index === index)
      expect(parts.flatMap((part) => part.logprobs?.text_offset ?? [])).toEqual(logprobs?.text_offset)
      expect(parts.flatMap((part) => part.logprobs?.tokens ?? [])).toEqual(logprobs?.tokens)
      expect(parts.map((part) => part.text).join('')).toBe(text)
      for (const [at, token] of (logprobs?.tokens ?? []).entries())
        expect(text.startsWith(token, logprobs!.text_offset[at])).toBe(true)
    }
  })

  it('has the prompt ids on the first chunk of a choice only', async () => {
    const { response } = await ask({ prompt: 'a b', max_tokens: 2, return_token_ids: true, stream: true })
    expect(chunksOf(response.body).map(({ choices }) => [choices[0]?.prompt_token_ids, choices[0]?.token_ids])).toEqual(
      [
        [[0, 1], [0]],
        [null, [1]],
      ],
    )
  })

  it('ends all prompts when one fails in mid-stream', async () => {
    const { response, engine } = await ask(
      { prompt: ['a b', 'x y'], max_tokens: 100, stream: true },
      { failure: { atToken: 20, error: new Error('inside') }, pace: () => nextTurn() },
    )
    expect(readEvents(response.body).at(-2)).toMatchObject({ error: { code: 500 } })
    expect(engine.seen.map(({ state }) => state)).toEqual(['aborted', 'aborted'])
  })
})
