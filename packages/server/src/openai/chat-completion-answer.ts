import type { CompletionOutput, RequestOutput } from '@octavo/core'
import type { ChatCompletion, ChatCompletionChoice, ChatCompletionRequest } from '@octavo/sdk/protocol'
import type { AnswerFrame } from './answer-frame.ts'
import { answerRole, echoedText } from './chat-completions.ts'
import { toWireFinishReason } from './finish-reason.ts'
import { chatLogprobs, promptLogprobs } from './logprobs.ts'
import { UsageCounter } from './usage.ts'

/** The engine's final output → the complete answer. */
export function chatCompletionAnswer(
  request: ChatCompletionRequest,
  output: RequestOutput,
  frame: AnswerFrame,
): ChatCompletion {
  const counter = new UsageCounter()
  counter.add(0, output)
  return {
    id: frame.id,
    object: 'chat.completion',
    created: frame.created,
    model: frame.model,
    choices: output.outputs.map((completion) => toChoice(request, completion)),
    usage: counter.usage(),
    ...(output.promptLogprobs !== null && { prompt_logprobs: promptLogprobs(output.promptLogprobs) }),
    ...(request.return_token_ids === true && { prompt_token_ids: [...output.promptTokenIds] }),
  }
}

function toChoice(request: ChatCompletionRequest, completion: CompletionOutput): ChatCompletionChoice {
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  return {
    index: completion.index,
    message: { role: answerRole(request), content: echoedText(request) + completion.text, refusal: null },
    logprobs: completion.logprobs === null ? null : chatLogprobs(completion.logprobs, naming),
    finish_reason: toWireFinishReason(completion.finishReason),
    stop_reason: completion.stopReason,
    ...(request.return_token_ids === true && { token_ids: [...completion.tokenIds] }),
  }
}
