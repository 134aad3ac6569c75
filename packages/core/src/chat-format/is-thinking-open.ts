import type { ChatFormat } from './chat-format.ts'

/**
 * Whether the model's text begins inside its thinking: the prompt opened it, models of this kind always think first, or
 * the answer that is continued has not come to its thinking's end.
 */
export function isThinkingOpen({ reasoning, turn }: ChatFormat, promptTail: string): boolean {
  if (reasoning === null) return false
  if (reasoning.begin === '') return !promptTail.trimEnd().endsWith(reasoning.end)
  if (promptTail.trimEnd().endsWith(reasoning.begin)) return true
  const turnAt = turn === null ? -1 : promptTail.lastIndexOf(turn)
  if (turnAt === -1) return false
  const answer = promptTail.slice(turnAt)
  return answer.lastIndexOf(reasoning.begin) > answer.lastIndexOf(reasoning.end)
}

/** Whether the prompt ended the thinking: an answer comes at once. */
export function isThinkingOver({ reasoning }: ChatFormat, promptTail: string): boolean {
  return reasoning === null || promptTail.trimEnd().endsWith(reasoning.end)
}
