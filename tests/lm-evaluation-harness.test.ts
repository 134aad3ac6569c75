/** What lm-evaluation-harness's `local-completions` sends and reads (lm_eval/models/openai_completions.py), without Python. */
import { readFileSync } from 'node:fs'
import { AsyncEngine } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

interface Request {
  readonly context: string
  readonly continuation: string
  readonly token_ids: readonly number[]
  readonly num_context: number
  readonly logprob: number
  readonly is_greedy: boolean
}

interface Choice {
  readonly index: number
  readonly text: string
  readonly logprobs: {
    readonly token_logprobs: readonly (number | null)[]
    readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[]
  }
}

const golden = new URL('../fixtures/lm-evaluation-harness/golden.json', import.meta.url)
const { requests } = JSON.parse(readFileSync(golden, 'utf8')) as { requests: Request[] }

describe('lm-evaluation-harness', () => {
  let engine: AsyncEngine
  let close: () => Promise<void>
  let url = ''

  beforeAll(async () => {
    engine = await AsyncEngine.create({ model: 'octavo-tiny', dtype: 'float32' })
    const server = await listen(createApp({ engine, version: 'test' }), { host: '127.0.0.1', port: 0 })
    close = () => server.close()
    url = `${server.url}/v1/completions`
  }, 60_000)

  afterAll(async () => {
    await close()
    await engine.shutdown()
  })

  async function post(body: object): Promise<readonly Choice[]> {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer ' },
      body: JSON.stringify({ model: 'octavo-tiny', seed: 1234, temperature: 0, ...body }),
    })
    expect(response.status).toBe(200)
    const { choices } = (await response.json()) as { choices: Choice[] }
    return choices.toSorted((a, b) => a.index - b.index)
  }

  /** `parse_logprobs`: without the context, and without the token that was generated behind the prompt. */
  function readScore({ logprobs }: Choice, numContext: number): { logprob: number; isGreedy: boolean } {
    const chosen = logprobs.token_logprobs.slice(numContext, -1) as number[] // only the first of all is null
    const top = logprobs.top_logprobs.slice(numContext, -1)
    return {
      logprob: chosen.reduce((sum, value) => sum + value, 0),
      isGreedy: chosen.every((value, i) => value === Math.max(...Object.values(top[i] ?? {}))),
    }
  }

  it.each([1, 5, 12])('scores continuations of token ids, %i in a request, as transformers does', async (batchSize) => {
    for (let start = 0; start < requests.length; start += batchSize) {
      const batch = requests.slice(start, start + batchSize)
      const prompt = batch.map(({ token_ids: ids }) => ids)
      const choices = await post({ prompt, max_tokens: 1, logprobs: 1, echo: true })
      expect(choices).toHaveLength(batch.length)
      for (const [i, { num_context: numContext, logprob, is_greedy: isGreedy }] of batch.entries()) {
        const score = readScore(choices[i]!, numContext)
        expect(Math.abs(score.logprob - logprob)).toBeLessThan(1e-3)
        expect(score.isGreedy).toBe(isGreedy)
      }
    }
  })

  it('scores text prompts, and a prompt alone, the same', async () => {
    const [first] = requests
    const { context, continuation, token_ids: ids, num_context: numContext, logprob } = first!
    const [text] = await post({ prompt: [context + continuation], max_tokens: 1, logprobs: 1, echo: true })
    expect(Math.abs(readScore(text!, numContext).logprob - logprob)).toBeLessThan(1e-3)
    const [alone] = await post({ prompt: [ids], max_tokens: 0, logprobs: 1, echo: true })
    expect(alone!.logprobs.token_logprobs).toHaveLength(ids.length)
    expect(alone!.logprobs.token_logprobs).toEqual(text!.logprobs.token_logprobs.slice(0, -1))
  })

  it('generates until a stop string', async () => {
    const right = requests.filter(({ is_greedy: isGreedy }) => isGreedy)
    const prompt = right.map(({ token_ids: ids, num_context: numContext }) => ids.slice(0, numContext))
    const choices = await post({ prompt, max_tokens: 64, stop: ['<|im_end|>', '\n\n'] })
    expect(choices.map(({ text }) => text)).toEqual(right.map(({ continuation }) => continuation))
  })
})
