import type { CompletionOutput, RequestOutput } from '@octavo/core'
import type { CompletionChoice, CompletionLogprobs, CompletionRequest } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import { toWireFinishReason } from './finish-reason.ts'
import type { LegacyToken, TokenNaming } from './logprobs.ts'
import { completionLogprobs, firstPromptToken, legacyToken } from './logprobs.ts'
import type { TextOffsets } from './text-offsets.ts'

/** Token ids → text, special tokens kept. */
export type Detokenize = (tokenIds: readonly number[]) => string

export interface ChoiceContext {
  readonly request: CompletionRequest
  readonly promptIndex: number
  /** `null` where the engine cannot: only an echo needs it. */
  readonly detokenize: Detokenize | null
  /** Of this choice, through all its parts. */
  readonly offsets: TextOffsets
  /** Nothing of this choice was sent before. */
  readonly isBeginning: boolean
}

/** `echo` with `max_tokens: 0`: the prompt, and its logprobs if asked for, without a completion. */
export function wantsPromptOnly({ echo, max_tokens: maxTokens }: CompletionRequest): boolean {
  return echo === true && maxTokens === 0
}

/** A sample's output, complete or a delta, → a choice. */
export function completionChoice(
  output: RequestOutput,
  completion: CompletionOutput,
  context: ChoiceContext,
): CompletionChoice {
  const { request, promptIndex, detokenize, isBeginning } = context
  const isPromptOnly = wantsPromptOnly(request)
  const echoed = isBeginning && request.echo === true ? echoedPrompt(output, detokenize) : ''
  const finishReason =
    isPromptOnly && completion.finishReason !== null ? 'length' : toWireFinishReason(completion.finishReason)
  const hasTokenIds = request.return_token_ids === true
  return {
    index: completion.index + promptIndex * (request.n ?? 1),
    text: isPromptOnly ? echoed : echoed + completion.text,
    logprobs: logprobsOf(output, completion, { ...context, echoed }),
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
  { request, detokenize, offsets, isBeginning, echoed }: ChoiceContext & { readonly echoed: string },
): CompletionLogprobs | null {
  if (request.logprobs == null) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const prompt = isBeginning && request.echo === true ? promptTokens(output, detokenize, naming) : []
  const entries = wantsPromptOnly(request) ? [] : (completion.logprobs ?? [])
  const promptOffsets = isBeginning
    ? offsets.ofPrompt(
        echoed,
        prompt.map(({ bytes }) => bytes),
      )
    : []
  return completionLogprobs(
    [...prompt, ...entries.map((entry) => legacyToken(entry, naming))],
    [...promptOffsets, ...offsets.ofOutput(entries)],
  )
}

function promptTokens(
  output: RequestOutput,
  detokenize: Detokenize | null,
  naming: TokenNaming,
): (LegacyToken & { readonly bytes: readonly number[] })[] {
  return (output.promptLogprobs ?? []).map((entry, index) => {
    if (entry !== null) return { ...legacyToken(entry, naming), bytes: entry.chosen.bytes }
    const tokenId = output.promptTokenIds[index] ?? 0
    const text = detokenize === null ? '' : detokenize([tokenId])
    return { ...firstPromptToken(tokenId, text, naming), bytes: [...Buffer.from(text)] }
  })
}
