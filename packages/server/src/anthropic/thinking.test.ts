import type { Message, MessageEvent } from '@octavo/sdk/protocol'
import { afterAll, describe, expect, it } from 'vitest'
import { openLiveChat } from '../testing/live-chat.ts'
import { readNamedEvents } from '../testing/read-named-events.ts'

/** A model that always thinks first, and does not listen to `enable_thinking`. */
const chatTemplate = `{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{{- '<think>\\n' + (message.reasoning_content or '') + '\\n</think>\\n\\n' }}{%- endif %}
{{- message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n' }}{%- endif %}`

const chat = await openLiveChat({ chatTemplate })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]
const common = { model: 'octavo-tiny', messages, temperature: 0, max_tokens: 60 }

afterAll(() => chat.close())

async function ask(more: object): Promise<Message> {
  const { status, body } = await chat.send({ ...common, ...more }, 'messages')
  expect([status, body]).toEqual([200, body])
  return JSON.parse(body) as Message
}

describe('thinking', () => {
  it('ends when its budget does, and the answer follows', async () => {
    const { content, stop_reason } = await ask({ thinking: { type: 'enabled', budget_tokens: 5 } })
    expect(content.map(({ type }) => type)).toEqual(['thinking', 'text'])
    expect(content[0]).toMatchObject({ thinking: expect.stringMatching(/./) })
    expect(stop_reason).toBe('end_turn')
  })

  it('is none where it is disabled', async () => {
    expect((await ask({ thinking: { type: 'disabled' } })).content.map(({ type }) => type)).toEqual(['text'])
    expect((await ask({ max_tokens: 5 })).content.map(({ type }) => type)).toEqual(['thinking'])
  })

  it('is streamed with its signature, and goes back to the model', async () => {
    const thinking = { type: 'enabled', budget_tokens: 5 }
    const { body } = await chat.send({ ...common, thinking, stream: true }, 'messages')
    const events = readNamedEvents<MessageEvent>(body).map(({ data }) => data)
    const ofFirst = events.filter((event) => 'index' in event && event.index === 0)
    expect(ofFirst[0]).toMatchObject({ content_block: { type: 'thinking', thinking: '', signature: '' } })
    expect(ofFirst.at(-2)).toMatchObject({ delta: { type: 'signature_delta', signature: expect.stringMatching(/./) } })
    expect(ofFirst.at(-1)).toMatchObject({ type: 'content_block_stop' })
    const { content } = await ask({ thinking })
    const again = [...messages, { role: 'assistant', content }, { role: 'user', content: 'And of Norway?' }]
    const shorter = [...messages, { role: 'assistant', content: content.slice(1) }, again.at(-1)]
    const [long, short] = [await ask({ thinking, messages: again }), await ask({ thinking, messages: shorter })]
    const sum = ({ usage }: Message): number => usage.input_tokens + (usage.cache_read_input_tokens ?? 0)
    expect(sum(long)).toBeGreaterThan(sum(short))
  })
})
