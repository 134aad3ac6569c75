import { type ChatMessage, type PromptInput, RawJson, type ToolChoice, type ToolDefinition } from '@octavo/core'
import type { ChatCompletionRequest, WireChatMessage } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import type { JsonSource } from '../json-source.ts'

/** What a conversation for the model's template is made of. */
export type ConversationFields = Pick<
  ChatCompletionRequest,
  | 'messages'
  | 'tools'
  | 'tool_choice'
  | 'parallel_tool_calls'
  | 'chat_template'
  | 'chat_template_kwargs'
  | 'add_generation_prompt'
  | 'continue_final_message'
  | 'add_special_tokens'
  | 'documents'
  | 'reasoning_effort'
>

/**
 * The conversation that a request brings, as the engine takes it; with the body's text at hand, numbers and keys on their
 * way to the chat template stay as they were written.
 * @throws HttpError 400 where chat_template_kwargs repeat a field
 */
export function chatPrompt(request: ConversationFields, body?: JsonSource): Extract<PromptInput, { type: 'chat' }> {
  const sources = body?.member('messages')?.elements()
  const continueFinalMessage = request.continue_final_message ?? false
  return {
    type: 'chat',
    messages: request.messages.map((message, index) => toChatMessage(message, sources?.[index])),
    tools: shownTools(request, body),
    toolChoice: toolChoice(request),
    parallelToolCalls: request.parallel_tool_calls ?? true,
    parseOutput: true,
    chatTemplate: request.chat_template ?? null,
    chatTemplateKwargs: templateKwargs(request, body),
    addGenerationPrompt: request.add_generation_prompt ?? !continueFinalMessage,
    continueFinalMessage,
    addSpecialTokens: request.add_special_tokens ?? false,
  }
}

/** The model cannot be kept from calling a tool that it was shown. */
function shownTools(
  { tools, tool_choice: choice }: ConversationFields,
  body?: JsonSource,
): readonly ToolDefinition[] | string | null {
  if (choice === 'none' || tools == null || tools.length === 0) return null
  return body?.member('tools')?.text ?? tools
}

function toolChoice({ tool_choice: choice }: ConversationFields): ToolChoice | null {
  if (choice == null || choice === 'none') return null
  if (typeof choice === 'string') return choice
  if (choice.type === 'function') return { name: choice.function.name }
  const { mode, tools } = choice.allowed_tools
  return { allowed: tools.map((tool) => tool.function.name), mode }
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
function toChatMessage({ content, refusal, ...message }: WireChatMessage, source?: JsonSource): ChatMessage {
  const fields = asWritten(message, source).filter(([, value]) => value != null)
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

function templateKwargs(request: ConversationFields, body?: JsonSource): Readonly<Record<string, unknown>> {
  const { documents, reasoning_effort } = request
  return {
    ...(documents != null && Object.fromEntries(asWritten({ documents }, body))),
    // vLLM's rule: who asks for effort asks for thinking.
    ...(reasoning_effort != null && { reasoning_effort, enable_thinking: reasoning_effort !== 'none' }),
    ...givenKwargs(request, body),
  }
}

/** What a request itself hands to the template. @throws HttpError 400 where that repeats a field */
export function givenKwargs(
  { chat_template_kwargs: kwargs }: Pick<ChatCompletionRequest, 'chat_template_kwargs'>,
  body?: JsonSource,
): Readonly<Record<string, unknown>> {
  const repeated = ownFields.find((name) => Object.hasOwn(kwargs ?? {}, name))
  if (repeated !== undefined) {
    throw new HttpError(400, `chat_template_kwargs: must not hold "${repeated}"; use the field of that name.`, {
      param: 'chat_template_kwargs',
    })
  }
  return Object.fromEntries(asWritten(kwargs ?? {}, body?.member('chat_template_kwargs')))
}

/** The members of an object, those that JavaScript may have changed as the text they were written in. */
function asWritten(object: Readonly<Record<string, unknown>>, source: JsonSource | undefined): [string, unknown][] {
  const entries = Object.entries(object)
  if (!entries.some(([, value]) => mayDiffer(value))) return entries
  const members = source?.members()
  return entries.map(([name, value]) => {
    const written = mayDiffer(value) ? members?.get(name) : undefined
    return [name, written === undefined ? value : new RawJson(written.text)]
  })
}

function mayDiffer(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'object' && value !== null)
}
