import type { ChatMessage, PromptInput, ToolCall } from '@octavo/core'
import type { ChatCompletionRequest, WireChatMessage, WireToolCall } from '@octavo/sdk/protocol'
import { jsonObjectSchema } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'

/**
 * The conversation that a request brings, as the engine takes it.
 * @throws HttpError 400 where tool call arguments are not a JSON object or chat_template_kwargs repeat a field
 */
export function chatPrompt(request: ChatCompletionRequest): PromptInput {
  const continueFinalMessage = request.continue_final_message ?? false
  return {
    type: 'chat',
    messages: request.messages.map(toChatMessage),
    // The model cannot be kept from calling a tool that it was shown.
    tools: request.tool_choice === 'none' ? null : (request.tools ?? null),
    chatTemplate: request.chat_template ?? null,
    chatTemplateKwargs: templateKwargs(request),
    addGenerationPrompt: request.add_generation_prompt ?? !continueFinalMessage,
    continueFinalMessage,
    addSpecialTokens: request.add_special_tokens ?? false,
  }
}

/** The assistant's, unless the client takes the generation prompt away: then whoever spoke last goes on. */
export function answerRole(request: ChatCompletionRequest): ChatMessage['role'] {
  const opensMessage = request.add_generation_prompt ?? request.continue_final_message !== true
  return opensMessage ? 'assistant' : (request.messages.at(-1)?.role ?? 'assistant')
}

/** With `echo`, the last message's text if it has the answer's role; else empty. */
export function echoedText(request: ChatCompletionRequest): string {
  const last = request.messages.at(-1)
  if (request.echo !== true || last === undefined || last.role !== answerRole(request)) return ''
  const { content } = toChatMessage(last, request.messages.length - 1)
  return typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('')
}

function toChatMessage(message: WireChatMessage, index: number): ChatMessage {
  const reasoning = message.reasoning ?? message.reasoning_content
  return {
    role: message.role,
    content: toContent(message),
    ...(message.name != null && { name: message.name }),
    ...(reasoning != null && { reasoning }),
    ...(message.tool_calls != null && { tool_calls: message.tool_calls.map((call) => toToolCall(call, index)) }),
    ...(message.tool_call_id != null && { tool_call_id: message.tool_call_id }),
  }
}

/** A refusal is text that the assistant wrote. */
function toContent({ content, refusal }: WireChatMessage): ChatMessage['content'] {
  if (typeof content === 'string') return content
  if (content == null) return refusal ?? null
  return content.map((part) => ({ type: 'text', text: part.type === 'text' ? part.text : part.refusal }))
}

/** Templates walk through the arguments, so JSON text becomes the object that it stands for. */
function toToolCall({ id, type, function: { name, arguments: args } }: WireToolCall, index: number): ToolCall {
  const parsed = jsonObjectSchema.safeParse(typeof args === 'string' ? parseArguments(args) : args)
  if (!parsed.success) {
    const param = `messages.${index}.tool_calls`
    throw new HttpError(400, `${param}: the arguments of a tool call must be a JSON object, at most 64 levels deep.`, {
      param,
    })
  }
  return {
    ...(id !== undefined && { id }),
    ...(type !== undefined && { type }),
    function: { name, arguments: parsed.data },
  }
}

function parseArguments(text: string): unknown {
  if (text.trim() === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const ownFields = ['messages', 'tools', 'chat_template', 'add_generation_prompt', 'continue_final_message']

function templateKwargs(request: ChatCompletionRequest): Readonly<Record<string, unknown>> {
  const kwargs = request.chat_template_kwargs ?? {}
  const repeated = ownFields.find((name) => Object.hasOwn(kwargs, name))
  if (repeated !== undefined) {
    throw new HttpError(400, `chat_template_kwargs: must not hold "${repeated}"; use the field of that name.`, {
      param: 'chat_template_kwargs',
    })
  }
  return {
    ...(request.documents != null && { documents: request.documents }),
    ...(request.reasoning_effort != null && { reasoning_effort: request.reasoning_effort }),
    ...kwargs,
  }
}
