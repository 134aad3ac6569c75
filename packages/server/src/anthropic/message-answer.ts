import type { CompletionOutput, ToolCallDelta } from '@octavo/core'
import type {
  AnswerBlock,
  Message,
  MessagesRequest,
  MessageStopReason,
  MessageUsage,
  Usage,
} from '@octavo/sdk/protocol'
import type { Generation } from '../open-generation.ts'
import { HttpError } from '../http-error.ts'
import { messageOf } from '../openai/answer-message.ts'
import { toWireFinishReason } from '../openai/finish-reason.ts'

export interface MessageOptions {
  readonly request: Pick<MessagesRequest, 'max_tokens' | 'thinking'>
  /** What is the same in every part of one answer. */
  readonly frame: Pick<Generation, 'id' | 'model'>
}

/** Clients send no thinking back that has none. */
export const signature = 'octavo'

/** The answer before there is any of it. */
export function emptyMessage({ id, model }: MessageOptions['frame'], usage: MessageUsage): Message {
  return { id, type: 'message', role: 'assistant', model, content: [], stop_reason: null, stop_sequence: null, usage }
}

export function wholeMessage(completion: CompletionOutput, usage: Usage, { request, frame }: MessageOptions): Message {
  const { reasoning, content, toolCalls } = messageOf(completion)
  const blocks: AnswerBlock[] = [
    ...(reasoning === ''
      ? []
      : [{ type: 'thinking' as const, thinking: isThinkingShown(request) ? reasoning : '', signature }]),
    ...(content === '' ? [] : [textBlock(content)]),
    ...toolCalls.map((call) => toolUseBlock(call, toolInput(call.arguments))),
  ]
  const numTokens = usage.completion_tokens
  const end = messageEnd(completion, { request, numTokens, hasCalls: toolCalls.length > 0 })
  return { ...emptyMessage(frame, messageUsage(usage)), content: blocks, ...end }
}

export function isThinkingShown({ thinking }: MessageOptions['request']): boolean {
  return !(thinking != null && 'display' in thinking && thinking.display === 'omitted')
}

export function textBlock(text: string): AnswerBlock {
  return { type: 'text', text, citations: null }
}

export function toolUseBlock({ id, name }: ToolCallDelta, input: unknown): AnswerBlock {
  return { type: 'tool_use', id: id ?? '', name: name ?? '', input, caller: { type: 'direct' } }
}

interface EndOptions extends Pick<MessageOptions, 'request'> {
  /** Of output. */
  readonly numTokens: number
  readonly hasCalls: boolean
}

export interface MessageEnd {
  readonly stop_reason: MessageStopReason
  readonly stop_sequence: string | null
}

/** @throws HttpError where the answer has not come to an end of its own */
export function messageEnd(completion: CompletionOutput, { request, numTokens, hasCalls }: EndOptions): MessageEnd {
  const { finishReason, stopReason } = completion
  switch (toWireFinishReason(finishReason)) {
    case 'stop':
      if (typeof stopReason === 'string') return { stop_reason: 'stop_sequence', stop_sequence: stopReason }
      return { stop_reason: hasCalls ? 'tool_use' : 'end_turn', stop_sequence: null }
    case 'length': {
      const isCut = numTokens >= request.max_tokens
      return { stop_reason: isCut ? 'max_tokens' : 'model_context_window_exceeded', stop_sequence: null }
    }
    default:
      throw new HttpError(503, 'The server ended this request before it was finished.')
  }
}

/** Tokens from the cache are counted apart from the others of the prompt; that new ones get into it costs nothing. */
export function messageUsage({
  prompt_tokens,
  completion_tokens,
  prompt_tokens_details: details,
}: Usage): MessageUsage {
  const cached = details?.cached_tokens ?? 0
  return {
    input_tokens: prompt_tokens - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: completion_tokens,
    service_tier: 'standard',
  }
}

/** Arguments as the object they write, with its numbers as they were written; where they write none, as a cut call's, an empty one. */
function toolInput(text: string): unknown {
  try {
    const input: unknown = JSON.parse(text, exactNumber)
    return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : {}
  } catch {
    return {}
  }
}

function exactNumber(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (typeof value !== 'number' || context?.source === undefined || String(value) === context.source) return value
  return rawJson(context.source)
}

const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): unknown }
