import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { uniformAt } from '@octavo/core'
import { afterAll, describe, expect, it } from 'vitest'
import { openLiveChat } from '../testing/live-chat.ts'

interface Item {
  readonly messages: readonly object[]
  readonly tools: readonly { readonly function: { readonly name: string } }[]
  readonly answer: unknown
  readonly metric: 'json' | 'exact'
}

const lines = readFileSync(new URL('../../../../fixtures/octavo-tiny-eval/tools.jsonl', import.meta.url), 'utf8')
const items = lines
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Item)
const chat = await openLiveChat()

afterAll(() => chat.close())

describe("the embedded model's tools", () => {
  const isRight = async ({ messages, tools, answer, metric }: Item, isStreamed: boolean): Promise<boolean> => {
    const body = { messages, tools, temperature: 0 }
    const [choice] = isStreamed ? await chat.streamed(body) : await chat.whole(body)
    if (metric === 'exact') return choice!.content === answer && choice!.toolCalls.length === 0
    const [call] = choice!.toolCalls
    if (call === undefined || choice!.finishReason !== 'tool_calls' || choice!.content !== '') return false
    return isDeepStrictEqual({ name: call.name, arguments: JSON.parse(call.arguments) }, answer)
  }

  it.each([false, true])(
    'are called as its card says: 97 %% (streamed: %s)',
    async (isStreamed) => {
      const right = await Promise.all(items.map((item) => isRight(item, isStreamed)))
      const share = right.filter(Boolean).length / items.length
      expect(share).toBeGreaterThanOrEqual(0.96)
      expect(share).toBeLessThanOrEqual(0.98)
    },
    120_000,
  )
})

describe('a streamed answer', () => {
  const stops = ['{', '"', 'Os', '}\n', 'name', '<tool_call>', 'e', 'ments": {']

  /** Of any kind, by its number. */
  function request(number: number): object {
    let draws = 0
    const uniform = (): number => uniformAt(number, draws++)
    const pick = <T>(values: readonly T[]): T => values[Math.floor(uniform() * values.length)]!
    const { messages, tools } = pick(items)
    const isGreedy = uniform() < 0.2
    const name = pick(tools).function.name
    const choice = pick<unknown>([
      'auto',
      'auto',
      'none',
      undefined,
      { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name } }] } },
    ])
    return {
      messages,
      tools,
      ...(choice !== undefined && { tool_choice: choice }),
      ...(isGreedy ? { temperature: 0 } : { temperature: pick([0.7, 1, 1.5]), seed: number, n: pick([1, 2, 3]) }),
      max_tokens: pick([1, 7, 14, 40, 60]),
      ...(uniform() < 0.4 && { stop: [pick(stops), pick(stops)] }),
      ...(uniform() < 0.3 && { include_stop_str_in_output: true }),
      ...(uniform() < 0.3 && { skip_special_tokens: false }),
      ...(uniform() < 0.3 && { ignore_eos: true }),
      ...(uniform() < 0.3 && { logprobs: true, top_logprobs: 2 }),
      ...(uniform() < 0.3 && { return_token_ids: true }),
      ...(uniform() < 0.3 && { parallel_tool_calls: false }),
    }
  }

  it('says what the whole answer says, of 200 kinds of requests', async () => {
    const numbers = Array.from({ length: 200 }, (_, number) => number)
    let numCalls = 0
    const check = async (number: number): Promise<void> => {
      const body = request(number)
      const [expected, streamed] = await Promise.all([chat.whole(body), chat.streamed(body)])
      numCalls += expected.filter(({ toolCalls }) => toolCalls.length > 0).length
      expect(streamed, JSON.stringify(body)).toEqual(expected)
    }
    for (let at = 0; at < numbers.length; at += 25) await Promise.all(numbers.slice(at, at + 25).map(check))
    expect(numCalls).toBeGreaterThan(40)
  }, 120_000)

  it('has the arguments as far as they came at the length limit', async () => {
    const { messages, tools } = items.find(({ metric }) => metric === 'json')!
    const body = { messages, tools, temperature: 0, max_tokens: 14 }
    const [choice] = await chat.whole(body)
    expect(choice).toMatchObject({ finishReason: 'length', content: '' })
    const [{ name, arguments: text }] = choice!.toolCalls as [{ name: string; arguments: string }]
    expect(name).toBe('search')
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError)
    expect('{"query": "big restaurants in Cairo"}'.startsWith(text)).toBe(true)
    expect(await chat.streamed(body)).toEqual([choice])
  })
})
