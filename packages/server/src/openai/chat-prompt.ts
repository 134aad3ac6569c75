import type { ChatMessage, PromptInput } from '@octavo/core'
import type { ChatCompletionRequest, WireChatMessage } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'

/**
 * The conversation that a request brings, as the engine takes it.
 * @throws HttpError 400 where chat_template_kwargs repeat a field
 */
export function chatPrompt(request: ChatCompletionRequest): PromptInput {
  const continueFinalMessage = request.continue_final_message ?? false
  return {
    type: 'chat',
    messages: request.messages.map(toChatMessage),
    // The model cannot be kept from calling a tool that it was shown.
    tools: request.tool_choice === 'none' || request.tools?.length === 0 ? null : (request.tools ?? null),
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
  const { content } = toChatMessage(last)
  if (content === null || typeof content === 'string') return content ?? ''
  return content.map((part) => (typeof part === 'string' ? part : part.text)).join('')
}

/** Fields that are null are as good as absent; those that this server does not know are for the template. */
function toChatMessage({ content, refusal, ...message }: WireChatMessage): ChatMessage {
  const fields = Object.entries(message).filter(([, value]) => value != null)
  const { reasoning = message.reasoning_content } = message
  return {
    ...Object.fromEntries(fields),
    role: message.role,
    content: toContent(content, refusal),
    ...(reasoning != null && { reasoning }),
  }
}

/** A refusal is text that the assistant wrote. */
function toContent(content: WireChatMessage['content'], refusal: WireChatMessage['refusal']): ChatMessage['content'] {
  if (typeof content === 'string') return content
  if (content == null) return refusal ?? null
  return content.map((part) => {
    if (typeof part === 'string') return { type: 'text', text: part }
    return { type: 'text', text: part.type === 'refusal' ? part.refusal : part.text }
  })
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
