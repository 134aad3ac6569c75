import type { PromptInput, ToolChoice } from '@octavo/core'
import type { CountTokensRequest, MessageTool, MessagesRequest } from '@octavo/sdk/protocol'
import type { JsonSource } from '../json-source.ts'
import { givenKwargs } from '../openai/chat-prompt.ts'
import { toChatMessages } from './chat-messages.ts'

type ChatPrompt = Extract<PromptInput, { type: 'chat' }>

/**
 * The conversation that a request brings, as the engine takes it; with the body's text at hand, numbers and keys on their
 * way to the chat template stay as they were written.
 * @throws HttpError 400 where chat_template_kwargs repeat a field
 */
export function messagesPrompt(request: CountTokensRequest | MessagesRequest, body?: JsonSource): ChatPrompt {
  const messages = toChatMessages(request, body?.member('messages'))
  const last = messages.at(-1)
  // An assistant's text at the end is the beginning of the answer.
  const continueFinalMessage = last?.role === 'assistant' && last.content !== null && last.tool_calls === undefined
  return {
    type: 'chat',
    messages,
    tools: toolsText(request, body?.member('tools')),
    toolChoice: toolChoice(request),
    parallelToolCalls: !isOneCallAtMost(request),
    parseOutput: true,
    chatTemplate: request.chat_template ?? null,
    chatTemplateKwargs: {
      ...thinkingKwargs(request),
      ...givenKwargs(request, body),
    },
    addGenerationPrompt: last?.role !== 'assistant',
    continueFinalMessage,
    addSpecialTokens: false,
  }
}

/** As JSON text in OpenAI's form, which templates know; the model cannot be kept from calling a tool that it was shown. */
function toolsText({ tools, tool_choice: choice }: CountTokensRequest, source?: JsonSource): string | null {
  if (choice?.type === 'none' || tools == null || tools.length === 0) return null
  const sources = source?.elements()
  return `[${tools.map((tool, index) => toolText(tool, sources?.[index])).join(', ')}]`
}

function toolText({ name, description, input_schema: schema, strict }: MessageTool, source?: JsonSource): string {
  const members = [
    ['name', JSON.stringify(name)],
    ...(description == null ? [] : [['description', JSON.stringify(description)]]),
    ['parameters', source?.member('input_schema')?.text ?? JSON.stringify(schema)],
    ...(strict == null ? [] : [['strict', String(strict)]]),
  ]
  return `{"type": "function", "function": {${members.map(([key, text]) => `"${key}": ${text}`).join(', ')}}}`
}

function toolChoice({ tool_choice: choice }: CountTokensRequest): ToolChoice | null {
  switch (choice?.type) {
    case 'auto':
      return 'auto'
    case 'any':
      return 'required'
    case 'tool':
      return { name: choice.name }
    case 'none':
    case undefined:
      return null
  }
}

function isOneCallAtMost({ tool_choice: choice }: CountTokensRequest): boolean {
  return choice != null && choice.type !== 'none' && choice.disable_parallel_tool_use === true
}

function thinkingKwargs({ thinking, output_config: config }: CountTokensRequest): Readonly<Record<string, unknown>> {
  return {
    ...(thinking != null && { enable_thinking: thinking.type !== 'disabled' }),
    ...(config?.effort != null && { reasoning_effort: config.effort }),
  }
}
