import { describe, expect, it } from 'vitest'
import { scoreAnswer, tokenF1 } from './answer-metrics.ts'
import type { TaskItem } from './task-set.ts'

const messages = [{ role: 'user', content: '?' }]
const call = (body: string): string => `<tool_call>\n${body}\n</tool_call>`
const tools: NonNullable<TaskItem['tools']> = [{ type: 'function', function: { name: 'add' } }]

describe('scoreAnswer', () => {
  it.each<[Pick<TaskItem, 'answer' | 'metric' | 'tools'>, string, number, boolean]>([
    [{ metric: 'exact', answer: 'Yes.' }, 'Yes.', 1, true],
    [{ metric: 'exact', answer: 'Yes.' }, 'yes.', 0, false],
    [{ metric: 'json', answer: { a: 1, b: [2] } }, '{"b": [2], "a": 1.0}', 1, true],
    [{ metric: 'json', answer: { a: 1 } }, '{"a": 1, "b": 2}', 0, false],
    [{ metric: 'json', answer: { a: 1 } }, '{"a": 1', 0, false],
    [{ metric: 'json', answer: null }, 'null', 1, true],
    [{ metric: 'json', answer: { name: 'add' }, tools }, call('{"name": "add"}'), 1, true],
    [{ metric: 'json', answer: { name: 'add' }, tools }, '{"name": "add"}', 0, false],
    [{ metric: 'f1', answer: 'a b c' }, 'a b c', 1, true],
    [{ metric: 'f1', answer: 'a b c d' }, 'b a', 2 / 3, false],
  ])('%o of %s', (item, reply, score, isExact) => {
    const result = scoreAnswer({ messages, ...item }, reply)
    expect(result.score).toBeCloseTo(score, 12)
    expect(result.isExact).toBe(isExact)
  })
})

describe('tokenF1', () => {
  it.each([
    ['The cat, the dog.', 'the cat', (2 * 2) / (6 + 2)],
    ['那些小老鼠', '那些老鼠', (2 * 4) / (5 + 4)],
    ['Oslo中文 42', 'oslo 中 42', (2 * 3) / (4 + 3)],
    ['', 'x', 0],
    ['a a a', 'a', 2 / 4],
  ])('of %s against %s', (reply, answer, f1) => {
    expect(tokenF1(reply, answer)).toBeCloseTo(f1, 12)
  })
})
