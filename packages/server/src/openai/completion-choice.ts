import type { CompletionOutput, RequestOutput } from '@octavo/core'
import type { CompletionChoice, CompletionLogprobs, CompletionRequest } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import { toWireFinishReason } from './finish-reason.ts'
import type { LegacyToken, TokenNaming } from './logprobs.ts'
import { completionLogprobs, firstPromptToken, legacyToken } from './logprobs.ts'

/** Token ids → text, special tokens kept. */
export type Detokenize = (tokenIds: readonly number[]) => string

export interface ChoiceContext {
  readonly request: CompletionRequest
  readonly promptIndex: number
  /** `null` where the engine cannot: only an echo needs it. */
  readonly detokenize: Detokenize | null
}

/** `echo` with `max_tokens: 0`: the prompt, and its logprobs if asked for, without a completion. */
export function wantsPromptOnly({ echo, max_tokens: maxTokens }: CompletionRequest): boolean {
  return echo === true && maxTokens === 0
}

/** A sample's output, complete or a delta, → a choice. `offset`: code points of the choice's text sent before; 0 = this is its beginning. */
export function completionChoice(
  output: RequestOutput,
  completion: CompletionOutput,
  { request, promptIndex, detokenize, offset, isBeginning }: ChoiceContext & { offset: number; isBeginning: boolean },
): CompletionChoice {
  const isPromptOnly = wantsPromptOnly(request)
  const echoed = isBeginning && request.echo === true ? echoedPrompt(output, detokenize) : ''
  const finishReason =
    isPromptOnly && completion.finishReason !== null ? 'length' : toWireFinishReason(completion.finishReason)
  const hasTokenIds = request.return_token_ids === true
  return {
    index: completion.index + promptIndex * (request.n ?? 1),
    text: isPromptOnly ? echoed : echoed + completion.text,
    logprobs: logprobsOf(output, completion, { request, detokenize, offset, isBeginning }),
    finish_reason: finishReason,
    stop_reason: isPromptOnly ? null : completion.stopReason,
    token_ids: hasTokenIds ? (isPromptOnly ? [] : [...completion.tokenIds]) : null,
    prompt_token_ids: hasTokenIds && isBeginning ? [...output.promptTokenIds] : null,
  }
}

/** @throws HttpError 400 where the prompt came as token ids and the engine cannot turn them into text */
function echoedPrompt({ prompt, promptTokenIds }: RequestOutput, detokenize: Detokenize | null): string {
  if (prompt !== null) return prompt
  if (detokenize !== null) return detokenize(promptTokenIds)
  throw new HttpError(400, 'echo: this engine cannot echo a prompt of token ids; pass text.', { param: 'echo' })
}

function logprobsOf(
  output: RequestOutput,
  completion: CompletionOutput,
  {
    request,
    detokenize,
    offset,
    isBeginning,
  }: Omit<ChoiceContext, 'promptIndex'> & { offset: number; isBeginning: boolean },
): CompletionLogprobs | null {
  if (request.logprobs == null) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const promptRows = isBeginning && request.echo === true ? promptTokens(output, detokenize, naming) : []
  const outputRows = wantsPromptOnly(request)
    ? []
    : (completion.logprobs ?? []).map((entry) => legacyToken(entry, naming))
  return completionLogprobs([...promptRows, ...outputRows], offset)
}

function promptTokens(output: RequestOutput, detokenize: Detokenize | null, naming: TokenNaming): LegacyToken[] {
  return (output.promptLogprobs ?? []).map((entry, index) => {
    if (entry !== null) return legacyToken(entry, naming)
    const tokenId = output.promptTokenIds[index] ?? 0
    return firstPromptToken(tokenId, detokenize === null ? '' : detokenize([tokenId]), naming)
  })
}
