import type { ChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatFormat } from './chat-format.ts'

export interface DeriveOptions {
  /** Texts of the tokens that end a turn; the model writes them, but they are no part of its calls. */
  readonly stopTokens: readonly string[]
}

/**
 * How a model writes reasoning and tool calls, found out by rendering its chat template with and without them and
 * comparing. Never throws: what cannot be found out is null. Computed once per template.
 */
export function deriveChatFormat(template: ChatTemplate, options: DeriveOptions): ChatFormat {
  void template
  void options
  return { reasoning: null, toolCalls: null, whyNoToolCalls: 'not yet', content: null }
}
