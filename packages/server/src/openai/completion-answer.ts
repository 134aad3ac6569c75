import type { RequestOutput } from '@octavo/core'
import type { Completion, CompletionChoice, CompletionRequest } from '@octavo/sdk/protocol'
import type { AnswerFrame } from './answer-frame.ts'
import type { Detokenize } from './completion-choice.ts'
import { completionChoice } from './completion-choice.ts'
import { wantsPromptOnly } from './completions.ts'
import { promptLogprobs } from './logprobs.ts'
import { UsageCounter } from './usage.ts'

export interface CompletionAnswerOptions {
  readonly request: CompletionRequest
  readonly frame: AnswerFrame
  readonly detokenize: Detokenize | null
}

/** One final output per prompt, in the prompts' order → the complete answer. */
export function completionAnswer(
  outputs: readonly RequestOutput[],
  { request, frame, detokenize }: CompletionAnswerOptions,
): Completion {
  const counter = new UsageCounter()
  const choices = outputs.flatMap((output, promptIndex) => {
    counter.add(promptIndex, output, { promptOnly: wantsPromptOnly(request) })
    return output.outputs.map((completion): CompletionChoice => ({
      ...completionChoice(output, completion, { request, promptIndex, detokenize, offset: 0, isBeginning: true }),
      ...(request.prompt_logprobs != null &&
        output.promptLogprobs !== null && { prompt_logprobs: promptLogprobs(output.promptLogprobs) }),
    }))
  })
  return {
    id: frame.id,
    object: 'text_completion',
    created: frame.created,
    model: frame.model,
    choices,
    usage: counter.usage(),
  }
}
