import type { ChatFormat } from './chat-format.ts'

/** Whether the model's text begins inside its thinking: the prompt opened it, or models of this kind always think first. */
export function isThinkingOpen({ reasoning }: ChatFormat, promptTail: string): boolean {
  if (reasoning === null) return false
  if (reasoning.begin === '') return !promptTail.trimEnd().endsWith(reasoning.end)
  return promptTail.trimEnd().endsWith(reasoning.begin)
}

/** Whether the prompt ended the thinking: an answer comes at once. */
export function isThinkingOver({ reasoning }: ChatFormat, promptTail: string): boolean {
  return reasoning === null || promptTail.trimEnd().endsWith(reasoning.end)
}
