import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { ChatFormat } from './chat-format.ts'
import type { MessageDelta } from './message-delta.ts'

export interface OutputParserOptions {
  /** The request's tools, whose schemas give tagged arguments their types; null = text that looks like a call is content. */
  readonly tools: readonly ToolDefinition[] | null
  /** The rendered end of the prompt (a few hundred characters suffice): thinking may be open there. */
  readonly promptTail: string
  /** Special tokens that are no markup are part of the content. Default false. */
  readonly keepSpecialTokens?: boolean
  /** Ids of calls whose dialect has none. Default: `call_` and 24 random characters. */
  readonly createId?: () => string
}

/** Reads generated text as it comes. What it gives is the same however the text is cut. */
export interface OutputParser {
  /** The next text; special tokens come as pieces of their own. */
  push(text: string, isSpecial: boolean): void
  /** No more text comes: what was held back is what it is. */
  finish(): void
  /** What was read since the last time. */
  take(): MessageDelta
}

export function createOutputParser(format: ChatFormat, options: OutputParserOptions): OutputParser {
  void format
  void options
  return {
    push: () => undefined,
    finish: () => undefined,
    take: () => ({ reasoning: '', content: '', toolCalls: [] }),
  }
}
