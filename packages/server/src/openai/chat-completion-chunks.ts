import type { CompletionOutput, RequestOutput } from '@octavo/core'
import type { ChatCompletionChunk, ChatCompletionChunkChoice, ChatCompletionRequest } from '@octavo/sdk/protocol'
import type { AnswerFrame } from './answer-frame.ts'
import { answerRole, echoedText } from './chat-completions.ts'
import { untilFinished } from './engine-outputs.ts'
import { toWireFinishReason } from './finish-reason.ts'
import { chatLogprobs } from './logprobs.ts'
import { UsageCounter } from './usage.ts'

/**
 * The engine's deltas → the events of a streamed answer: one chunk per choice with the role, the deltas, and with
 * `include_usage` one without choices. A choice's last chunk has its finish_reason.
 */
export async function* chatCompletionChunks(
  request: ChatCompletionRequest,
  outputs: AsyncIterable<RequestOutput>,
  frame: AnswerFrame,
): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const counter = new UsageCounter()
  const chunk = (choices: ChatCompletionChunkChoice[], hasUsage: boolean): ChatCompletionChunk => ({
    id: frame.id,
    object: 'chat.completion.chunk',
    created: frame.created,
    model: frame.model,
    choices,
    ...(hasUsage && { usage: counter.usage() }),
  })
  const isContinuous = request.stream_options?.continuous_usage_stats === true
  let isFirst = true
  for await (const output of untilFinished(outputs)) {
    if (isFirst) {
      counter.add(0, { ...output, outputs: [] })
      for (const [index, choice] of openingChoices(request).entries()) {
        const hasPromptIds = index === 0 && request.return_token_ids === true
        yield {
          ...chunk([choice], isContinuous),
          ...(hasPromptIds && { prompt_token_ids: [...output.promptTokenIds] }),
        }
      }
      isFirst = false
    }
    counter.add(0, output)
    for (const completion of output.outputs) {
      const choice = toChoice(request, completion)
      if (choice !== null) yield chunk([choice], isContinuous)
    }
  }
  if (request.stream_options?.include_usage === true) yield chunk([], true)
}

function openingChoices(request: ChatCompletionRequest): ChatCompletionChunkChoice[] {
  const role = answerRole(request)
  const echoed = echoedText(request)
  const contents = echoed === '' ? [{ role, content: '' }] : [{ role, content: '' }, { content: echoed }]
  return Array.from({ length: request.n ?? 1 }).flatMap((_, index) =>
    contents.map((delta) => ({ index, delta, logprobs: null, finish_reason: null })),
  )
}

/** `null` where there is nothing to tell: text that may begin a stop string is held back by the engine. */
function toChoice(request: ChatCompletionRequest, completion: CompletionOutput): ChatCompletionChunkChoice | null {
  const { index, text, tokenIds, logprobs, finishReason, stopReason } = completion
  const hasTokenIds = request.return_token_ids === true && tokenIds.length > 0
  const hasLogprobs = logprobs !== null && logprobs.length > 0
  if (text === '' && finishReason === null && !hasTokenIds && !hasLogprobs) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  return {
    index,
    delta: { content: text },
    logprobs: hasLogprobs ? chatLogprobs(logprobs, naming) : null,
    finish_reason: toWireFinishReason(finishReason),
    ...(finishReason !== null && { stop_reason: stopReason }),
    ...(request.return_token_ids === true && { token_ids: [...tokenIds] }),
  }
}
