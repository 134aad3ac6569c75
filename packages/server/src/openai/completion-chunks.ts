import type { CompletionOutput, RequestOutput } from '@octavo/core'
import type { CompletionChoice, CompletionChunk } from '@octavo/sdk/protocol'
import type { CompletionAnswerOptions } from './completion-answer.ts'
import { completionChoice } from './completion-choice.ts'
import { wantsPromptOnly } from './completions.ts'
import { numCodePoints } from './logprobs.ts'
import { UsageCounter } from './usage.ts'

/** The deltas of all prompts, each with its prompt's index, in the order in which they come → the events of a streamed answer. */
export async function* completionChunks(
  outputs: AsyncIterable<{ readonly index: number; readonly value: RequestOutput }>,
  { request, frame, detokenize }: CompletionAnswerOptions,
): AsyncGenerator<CompletionChunk, void, undefined> {
  const counter = new UsageCounter()
  const chunk = (choices: CompletionChoice[], hasUsage: boolean): CompletionChunk => ({
    id: frame.id,
    object: 'text_completion',
    created: frame.created,
    model: frame.model,
    choices,
    ...(hasUsage && { usage: counter.usage() }),
  })
  const isContinuous = request.stream_options?.continuous_usage_stats === true
  /** Choice → code points of text sent so far. */
  const lengths = new Map<number, number>()
  for await (const { index: promptIndex, value: output } of outputs) {
    counter.add(promptIndex, output, { promptOnly: wantsPromptOnly(request) })
    for (const completion of output.outputs) {
      const choiceIndex = completion.index + promptIndex * (request.n ?? 1)
      const offset = lengths.get(choiceIndex)
      const context = { request, promptIndex, detokenize, offset: offset ?? 0, isBeginning: offset === undefined }
      const choice = completionChoice(output, completion, context)
      if (isSilent(choice, completion)) continue
      lengths.set(choiceIndex, (offset ?? 0) + numCodePoints(choice.text))
      yield chunk([choice], isContinuous)
    }
  }
  if (request.stream_options?.include_usage === true) yield chunk([], true)
}

/** Nothing to tell: text that may begin a stop string is held back by the engine. */
function isSilent(choice: CompletionChoice, { tokenIds }: CompletionOutput): boolean {
  const hasTokenIds = choice.token_ids !== undefined && tokenIds.length > 0
  return (
    choice.text === '' && choice.finish_reason === null && !hasTokenIds && (choice.logprobs?.tokens ?? []).length === 0
  )
}
