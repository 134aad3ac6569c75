import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ChatFormat } from './chat-format.ts'
import { isThinkingOpen, isThinkingOver } from './is-thinking-open.ts'
import { joinFormats } from './join-formats.ts'

/** `inner` after the thinking ends: at once where the prompt ended it, or where the model has none. */
export function afterReasoning(format: ChatFormat, promptTail: string, inner: TagFormat): TagFormat {
  const { reasoning } = format
  if (reasoning === null || isThinkingOver(format, promptTail)) return inner
  const isOpen = isThinkingOpen(format, promptTail)
  const begin = isOpen ? '' : reasoning.begin
  const thought: TagFormat = { type: 'tag', begin, content: { type: 'any_text' }, end: reasoning.end }
  const thinking = joinFormats([thought, reasoning.afterEnd, inner])
  return isOpen ? thinking : { type: 'or', elements: [thinking, inner] }
}

/** An answer that is held to `inner`, in what the model writes around answers. */
export function asContent({ content }: ChatFormat, inner: TagFormat): TagFormat {
  return content === null ? inner : joinFormats([content.begin, inner, content.end])
}
