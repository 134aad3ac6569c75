/** The embedded model, through the server, against its model card: accuracies within one point, replies at least 99 % equal. */
import { readFileSync } from 'node:fs'
import { AsyncEngine } from '@octavo/core'
import { OctavoClient } from '@octavo/sdk'
import type { ChatCompletionRequest } from '@octavo/sdk/protocol'
import { createApp, listen } from '@octavo/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** `exact` percentages of packages/core/models/octavo-tiny/README.md. */
const accuracies = { translation: 95.5, summarization: 86, qa: 84, dialogue: 98, tools: 97, extraction: 99 } as const

interface Item {
  readonly messages: ChatCompletionRequest['messages']
  readonly tools?: ChatCompletionRequest['tools']
  readonly answer: unknown
  readonly metric: 'exact' | 'json' | 'f1'
}

interface Golden {
  readonly skill: string
  readonly ok: boolean
  readonly reply: string
}

function readLines<T>(name: string): T[] {
  const text = readFileSync(new URL(`../fixtures/octavo-tiny-eval/${name}.jsonl`, import.meta.url), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}

/** What the server made of a reply. */
interface Answer {
  readonly content: string
  readonly calls: readonly { readonly name: string; readonly arguments: string }[]
}

/** The reply as the model wrote it. */
function toReply({ content, calls }: Answer): string {
  const blocks = calls.map(
    (call) => `<tool_call>\n{"name": "${call.name}", "arguments": ${call.arguments}}\n</tool_call>`,
  )
  return [content, ...blocks].filter((part) => part !== '').join('\n')
}

function isCorrect({ metric, tools, answer }: Item, { content, calls }: Answer): boolean {
  if (metric !== 'json') return content === answer && calls.length === 0
  try {
    if (tools == null) expect(JSON.parse(content)).toEqual(answer)
    else
      expect(calls.map((call) => ({ name: call.name, arguments: JSON.parse(call.arguments) as unknown }))).toEqual([
        answer,
      ])
    return true
  } catch {
    return false
  }
}

describe('octavo-tiny through the server', () => {
  const replies = readLines<Golden>('replies')
  let engine: AsyncEngine
  let close: () => Promise<void>
  let client: OctavoClient

  beforeAll(async () => {
    engine = await AsyncEngine.create({ model: 'octavo-tiny', dtype: 'float32' })
    const server = await listen(createApp({ engine, version: 'test' }), { host: '127.0.0.1', port: 0 })
    close = () => server.close()
    client = new OctavoClient({ baseUrl: server.url, timeoutMs: 600_000 })
  }, 60_000)

  afterAll(async () => {
    await close()
    await engine.shutdown()
  })

  const requestOf = ({ messages, tools }: Item) =>
    ({ model: 'octavo-tiny', messages, tools, temperature: 0, max_tokens: 80 }) satisfies ChatCompletionRequest

  async function ask(item: Item): Promise<Answer> {
    const { choices } = await client.chat.completions.create(requestOf(item))
    const message = choices[0]!.message
    const calls = (message.tool_calls ?? []).map((call) => call.function)
    return {
      content: message.content ?? '',
      calls: calls.map(({ name, arguments: json }) => ({ name, arguments: String(json) })),
    }
  }

  const answered = new Map<string, Promise<Answer[]>>()
  function answersTo(skill: string): Promise<Answer[]> {
    const answers = answered.get(skill) ?? Promise.all(readLines<Item>(skill).map(ask))
    answered.set(skill, answers)
    return answers
  }

  async function askStreamed(item: Item): Promise<Answer> {
    let content = ''
    const calls: { name: string; arguments: string }[] = []
    for await (const { choices } of await client.chat.completions.create({ ...requestOf(item), stream: true })) {
      content += choices[0]?.delta.content ?? ''
      for (const { index, function: part } of choices[0]?.delta.tool_calls ?? []) {
        const call = (calls[index] ??= { name: '', arguments: '' })
        call.name += part?.name ?? ''
        call.arguments += part?.arguments ?? ''
      }
    }
    return { content, calls }
  }

  it.each(Object.entries(accuracies))(
    'is as good as its model card says at %s',
    async (skill, accuracy) => {
      const items = readLines<Item>(skill)
      const golden = replies.filter((reply) => reply.skill === skill)
      const answers = await answersTo(skill)
      const numCorrect = items.filter((item, i) => isCorrect(item, answers[i]!)).length
      const numEqual = golden.filter(({ reply }, i) => reply === toReply(answers[i]!)).length
      console.log(
        `${skill}: ${((100 * numCorrect) / items.length).toFixed(1)} % correct (model card ${accuracy} %), ${numEqual} of ${golden.length} replies equal`,
      )
      expect(Math.abs((100 * numCorrect) / items.length - accuracy)).toBeLessThanOrEqual(1)
      expect(numEqual / golden.length).toBeGreaterThanOrEqual(0.99)
    },
    600_000,
  )

  it('streams the same calls and answers', async () => {
    expect(await Promise.all(readLines<Item>('tools').map(askStreamed))).toEqual(await answersTo('tools'))
  }, 600_000)
})
