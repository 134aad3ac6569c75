import type { CompletionOutput, MessageDelta, RequestOutput, ToolCallDelta } from '@octavo/core'
import type { AnswerBlock, MessageEvent } from '@octavo/sdk/protocol'
import { untilFinished } from '../engine-outputs.ts'
import { messageOf } from '../openai/answer-message.ts'
import { UsageCounter } from '../openai/usage.ts'
import type { MessageEnd, MessageOptions } from './message-answer.ts'
import {
  emptyMessage,
  isThinkingShown,
  messageEnd,
  messageUsage,
  signature,
  textBlock,
  toolUseBlock,
} from './message-answer.ts'

/** The engine's deltas → the events of a streamed message: block after block, each begun, told in pieces, and ended. */
export async function* messageEvents(
  outputs: AsyncIterable<RequestOutput>,
  { request, frame }: MessageOptions,
): AsyncGenerator<MessageEvent, void, undefined> {
  const counter = new UsageCounter()
  const blocks = new BlockWriter(isThinkingShown(request))
  let isFirst = true
  let end: MessageEnd | null = null
  for await (const output of untilFinished(outputs)) {
    if (isFirst) {
      counter.add(0, { ...output, outputs: [] })
      yield { type: 'message_start', message: emptyMessage(frame, messageUsage(counter.usage())) }
      isFirst = false
    }
    counter.add(0, output)
    for (const completion of output.outputs) {
      yield* blocks.write(messageOf(completion))
      end = endOf(completion)
    }
  }
  yield* blocks.close()
  if (end !== null) yield { type: 'message_delta', delta: { ...end }, usage: messageUsage(counter.usage()) }
  yield { type: 'message_stop' }

  function endOf(completion: CompletionOutput): MessageEnd | null {
    if (completion.finishReason === null) return null
    const numTokens = counter.usage().completion_tokens
    return messageEnd(completion, { request, numTokens, hasCalls: blocks.hasCalls })
  }
}

/** What a block is a part of: one call is told apart from the next. */
type BlockKind = 'thinking' | 'text' | number

class BlockWriter {
  readonly #showsThinking: boolean
  #index = -1
  #open: BlockKind | null = null
  hasCalls = false

  constructor(showsThinking: boolean) {
    this.#showsThinking = showsThinking
  }

  *write({ reasoning, content, toolCalls }: MessageDelta): Generator<MessageEvent, void, undefined> {
    if (reasoning !== '') {
      yield* this.#begin('thinking', { type: 'thinking', thinking: '', signature: '' })
      if (this.#showsThinking) yield this.#delta({ type: 'thinking_delta', thinking: reasoning })
    }
    if (content !== '') {
      yield* this.#begin('text', textBlock(''))
      yield this.#delta({ type: 'text_delta', text: content })
    }
    for (const call of toolCalls) yield* this.#call(call)
  }

  *close(): Generator<MessageEvent, void, undefined> {
    if (this.#open === null) return
    if (this.#open === 'thinking') yield this.#delta({ type: 'signature_delta', signature })
    this.#open = null
    yield { type: 'content_block_stop', index: this.#index }
  }

  *#call(call: ToolCallDelta): Generator<MessageEvent, void, undefined> {
    this.hasCalls = true
    yield* this.#begin(call.index, toolUseBlock(call, {}))
    if (call.arguments !== '') yield this.#delta({ type: 'input_json_delta', partial_json: call.arguments })
  }

  *#begin(kind: BlockKind, block: AnswerBlock): Generator<MessageEvent, void, undefined> {
    if (this.#open === kind) return
    yield* this.close()
    this.#open = kind
    yield { type: 'content_block_start', index: ++this.#index, content_block: block }
  }

  #delta(delta: Extract<MessageEvent, { type: 'content_block_delta' }>['delta']): MessageEvent {
    return { type: 'content_block_delta', index: this.#index, delta }
  }
}
