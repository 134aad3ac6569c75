import { type CompletionOutput, joinMessages, type MessageDelta, type ToolCallDelta } from '@octavo/core'
import type {
  ChatCompletionChoice,
  ChatCompletionChunkChoice,
  ChatCompletionRequest,
  WireFinishReason,
  WireToolCall,
  WireToolCallDelta,
} from '@octavo/sdk/protocol'
import { answerRole, echoedText } from './chat-prompt.ts'
import { toWireFinishReason } from './finish-reason.ts'

/** A whole sample → the message, with the keys that vLLM has, but `tool_calls` where there are any only. */
export function answerMessage(
  completion: CompletionOutput,
  request: ChatCompletionRequest,
): ChatCompletionChoice['message'] {
  const { reasoning, content, toolCalls } = messageOf(completion)
  const answer = echoedText(request) + content
  return {
    role: answerRole(request),
    content: answer === '' && (toolCalls.length > 0 || reasoning !== '') ? null : answer,
    refusal: null,
    annotations: null,
    audio: null,
    function_call: null,
    // Absent where there are none, as OpenAI has it: clients take an empty list for calls, and LlamaIndex's agent asks on for ever.
    ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toToolCall) }),
    reasoning: null,
    ...(reasoning !== '' && reasoningFields(reasoning, request)),
  }
}

/** A part of a sample → what a stream says of it; no fields where there is nothing new. */
export function messageDelta(
  completion: CompletionOutput,
  request: ChatCompletionRequest,
): ChatCompletionChunkChoice['delta'] {
  const { reasoning, content, toolCalls } = joinMessages([messageOf(completion)])
  return {
    ...(reasoning !== '' && reasoningFields(reasoning, request)),
    ...(content !== '' && { content }),
    ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toToolCallDelta) }),
  }
}

/** Calls are the reason where the model chose to make them; of a tool that the request named, as with OpenAI, they are not. */
export function messageFinishReason(
  { finishReason }: CompletionOutput,
  { request, hasCalls }: { readonly request: ChatCompletionRequest; readonly hasCalls: boolean },
): WireFinishReason | null {
  const { tool_choice: choice } = request
  const isNamed = typeof choice === 'object' && choice?.type === 'function'
  return hasCalls && !isNamed && finishReason === 'stop' ? 'tool_calls' : toWireFinishReason(finishReason)
}

/** An engine that parses nothing has text. */
export function messageOf({ message, text }: CompletionOutput): MessageDelta {
  return message ?? { reasoning: '', content: text, toolCalls: [] }
}

function reasoningFields(reasoning: string, request: ChatCompletionRequest): object {
  if (request.include_reasoning === false) return {}
  return { reasoning, ...(request.include_reasoning_content === true && { reasoning_content: reasoning }) }
}

function toToolCall({ id, name, arguments: text }: ToolCallDelta): WireToolCall {
  return { id, type: 'function', function: { name: name ?? '', arguments: text } }
}

/** Id, type and name come with a call's first piece. */
function toToolCallDelta({ index, id, name, arguments: text }: ToolCallDelta): WireToolCallDelta {
  if (name === null) return { index, function: { arguments: text } }
  return { index, id, type: 'function', function: { name, arguments: text } }
}
