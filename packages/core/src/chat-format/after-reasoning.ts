import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ChatFormat } from './chat-format.ts'

/** `inner` after the thinking ends: at once where the prompt ended it, or where the model has none. */
export function afterReasoning(format: ChatFormat, promptTail: string, inner: TagFormat): TagFormat {
  void format
  void promptTail
  return inner
}
