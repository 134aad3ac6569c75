import { isDeepStrictEqual } from 'node:util'
import type { TaskItem } from './task-set.ts'

/** Of one answer, from 0 to 1. */
export interface AnswerScore {
  /** By the item's metric. */
  readonly score: number
  readonly isExact: boolean
}

export function scoreAnswer({ metric, answer, tools }: TaskItem, reply: string): AnswerScore {
  if (metric === 'json') {
    const isExact = isDeepStrictEqual(tryJson(tools === undefined ? reply : toolCallOf(reply)), { value: answer })
    return { score: isExact ? 1 : 0, isExact }
  }
  const text = String(answer)
  const isExact = reply === text
  return { score: metric === 'f1' ? tokenF1(reply, text) : isExact ? 1 : 0, isExact }
}

/** Words, numbers, punctuation marks and Chinese characters that both have (SQuAD's F1, arXiv:1606.05250). */
export function tokenF1(reply: string, answer: string): number {
  const counts = new Map<string, number>()
  const expected = wordsOf(answer)
  for (const word of expected) counts.set(word, (counts.get(word) ?? 0) + 1)
  const given = wordsOf(reply)
  let numShared = 0
  for (const word of given) {
    const left = counts.get(word) ?? 0
    if (left === 0) continue
    counts.set(word, left - 1)
    numShared++
  }
  return numShared === 0 ? 0 : (2 * numShared) / (given.length + expected.length)
}

function wordsOf(text: string): readonly string[] {
  return text.toLowerCase().match(/\p{Script=Han}|[[\p{L}\p{N}\p{M}_]--\p{Script=Han}]+|[^\s\p{L}\p{N}\p{M}_]/gv) ?? []
}

/** What stands in a reply's `<tool_call>`, the form of Hermes and Qwen. */
function toolCallOf(reply: string): string {
  return /<tool_call>\s*(\{.*\})\s*<\/tool_call>/s.exec(reply)?.[1] ?? ''
}

/** Boxed, since `null` is JSON too. */
function tryJson(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    return null
  }
}
