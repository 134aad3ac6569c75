import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import type { ChatFormat } from './chat-format.ts'
import type { ToolChoice } from './tool-choice.ts'

export interface ToolCallFormatOptions {
  readonly tools: readonly ToolDefinition[]
  readonly choice: ToolChoice
  /** More than one call may be made. */
  readonly parallel: boolean
}

/**
 * What a model may write after its reasoning; null = anything (`none`, and `auto` without a strict tool). `required` and
 * a name force calls; `auto` leaves text free and holds calls of tools to their schemas where a tool is `strict`.
 * @throws InvalidRequestError where the model has no tool calls, a named tool is not among the tools, or a schema cannot
 * be held (`schemaToGrammar`)
 */
export function toolCallFormat(format: ChatFormat, options: ToolCallFormatOptions): TagFormat | null {
  void format
  void options
  return null
}
