import type { ChatFormat } from '../chat-format/chat-format.ts'
import { deriveChatFormat } from '../chat-format/derive-chat-format.ts'
import type { ChatTemplate } from '../tokenizer/chat-template.ts'
import type { ChatTemplates } from '../tokenizer/chat-templates.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

interface TurnEnds {
  readonly tokenizer: Tokenizer
  readonly eosTokenIds: readonly number[]
}

/** How a model with this template writes reasoning and calls; derived when it is first asked for, which takes some 10 ms. */
export function chatFormatOf(template: ChatTemplate, { tokenizer, eosTokenIds }: TurnEnds): ChatFormat {
  const stopTokens = eosTokenIds.map((id) => tokenizer.idToToken(id)).filter((token) => token !== null)
  return deriveChatFormat(template, { stopTokens })
}

/** Of a conversation with tools that names no template; `null` where the model has none for it. */
export function defaultChatFormat(chatTemplates: ChatTemplates, ends: TurnEnds): ChatFormat | null {
  const template = chatTemplates.default(true)
  return template === null ? null : chatFormatOf(template, ends)
}

/** For whoever starts a server: what was found. */
export function describeChatFormat({ toolCalls, whyNoToolCalls, reasoning }: ChatFormat): string {
  const calls = toolCalls === null ? `no tool calls (${whyNoToolCalls ?? ''})` : `tool calls (${toolCalls.call.type})`
  const thoughts = reasoning === null ? 'no reasoning' : `reasoning (up to ${reasoning.end})`
  return `the chat template has ${calls} and ${thoughts}`
}
