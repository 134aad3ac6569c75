import { afterAll, describe, expect, it } from 'vitest'
import { openLiveChat } from '../testing/live-chat.ts'

/** A model that always thinks first, unless it is told not to. */
const chatTemplate = `{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{{- '<think>\\n' + (message.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n<think>\\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{- '\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}`

const chat = await openLiveChat({ chatTemplate })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]
const greedy = { messages, temperature: 0 }

afterAll(() => chat.close())

async function both(body: object) {
  const [whole, streamed] = [await chat.whole(body), await chat.streamed(body)]
  expect(streamed).toEqual(whole)
  return whole[0]!
}

describe('reasoning', () => {
  it('is all there is until it ends', async () => {
    const { content, reasoning, finishReason } = await both({ ...greedy, max_tokens: 8 })
    expect(content).toBe('')
    expect(reasoning).not.toBe('')
    expect(finishReason).toBe('length')
  })

  it('ends when its budget does, and the answer follows', async () => {
    for (const budget of [0, 1, 5]) {
      const choice = await both({ ...greedy, thinking_token_budget: budget, max_tokens: 60, return_token_ids: true })
      const free = await both({ ...greedy, max_tokens: 5, return_token_ids: true })
      expect(choice.tokenIds.slice(0, budget)).toEqual(free.tokenIds.slice(0, budget))
      if (budget === 0) expect(choice.reasoning).toBe('')
      else expect(choice.reasoning).not.toBe('')
      expect(choice.content).not.toContain('think')
      expect(choice.content.trim()).not.toBe('')
    }
  })

  it('comes before what the answer must be', async () => {
    const constrained = { ...greedy, thinking_token_budget: 4, structured_outputs: { choice: ['Paris!', 'Rome!'] } }
    const choice = await both({ ...constrained, max_tokens: 60 })
    expect(choice.reasoning).not.toBe('')
    expect(['Paris!', 'Rome!']).toContain(choice.content)
    expect(choice.finishReason).toBe('stop')
    const schema = { type: 'object', properties: { city: { enum: ['Paris'] } }, required: ['city'] }
    const format = { type: 'json_schema', json_schema: { name: 'capital', schema } }
    const object = await both({ ...greedy, thinking_token_budget: 4, response_format: format, max_tokens: 100 })
    expect(JSON.parse(object.content)).toMatchObject({ city: 'Paris' })
  })

  it('is none where the request wants no effort', async () => {
    const choice = await both({ ...greedy, reasoning_effort: 'none', structured_outputs: { choice: ['Paris!'] } })
    expect(choice).toMatchObject({ reasoning: '', content: 'Paris!' })
    const other = { chat_template_kwargs: { enable_thinking: true }, reasoning_effort: 'none', max_tokens: 4 }
    expect((await both({ ...greedy, ...other })).reasoning).not.toBe('')
  })

  it('is left out, or said twice, as the request has it', async () => {
    const body = { ...greedy, thinking_token_budget: 3, structured_outputs: { choice: ['Paris!'] }, max_tokens: 60 }
    const hidden = await both({ ...body, include_reasoning: false })
    expect(hidden).toMatchObject({ reasoning: '', content: 'Paris!' })
    const { body: text } = await chat.send({ ...body, include_reasoning_content: true })
    const { message } = (JSON.parse(text) as { choices: { message: Record<string, string> }[] }).choices[0]!
    expect(message['reasoning_content']).toBe(message['reasoning'])
    expect(message['reasoning']).not.toBe('')
  })

  it('has logprobs of all tokens, and may be sampled many times', async () => {
    const body = { messages, n: 3, temperature: 1, seed: 3, thinking_token_budget: 6, max_tokens: 40 }
    const whole = await chat.whole({ ...body, logprobs: true, top_logprobs: 1, return_token_ids: true })
    expect(await chat.streamed({ ...body, logprobs: true, top_logprobs: 1, return_token_ids: true })).toEqual(whole)
    for (const { logprobs, tokenIds } of whole) expect(logprobs).toHaveLength(tokenIds.length)
  })

  it('cannot be limited where the template has none', async () => {
    const plain = await openLiveChat()
    const { status, body } = await plain.send({ ...greedy, thinking_token_budget: 3 })
    await plain.close()
    expect(status).toBe(400)
    expect(JSON.parse(body)).toMatchObject({ error: { param: 'thinking_token_budget' } })
  })
})
