import type { CompletionOutput, DecodedTokenLogprobs, RequestOutput, TurnQueue } from '@octavo/core'
import type { CompletionChoice, CompletionLogprobs, CompletionRequest } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import { toWireFinishReason } from './finish-reason.ts'
import type { LegacyToken, TokenNaming } from './logprobs.ts'
import { completionLogprobs, firstPromptToken, legacyToken, mapLogprobs } from './logprobs.ts'
import type { TextOffsets } from './text-offsets.ts'

/** Token ids → text, special tokens kept. */
export type Detokenize = (tokenIds: readonly number[]) => string

export interface ChoiceContext {
  readonly request: CompletionRequest
  readonly promptIndex: number
  /** `null` where the engine cannot: only an echo needs it. */
  readonly detokenize: Detokenize | null
  readonly turns: TurnQueue
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
export async function completionChoice(
  output: RequestOutput,
  completion: CompletionOutput,
  context: ChoiceContext,
): Promise<CompletionChoice> {
  const { request, promptIndex, detokenize, isBeginning } = context
  const isPromptOnly = wantsPromptOnly(request)
  const echoed = isBeginning && request.echo === true ? echoedPrompt(output, detokenize) : ''
  const finishReason =
    isPromptOnly && completion.finishReason !== null ? 'length' : toWireFinishReason(completion.finishReason)
  const hasTokenIds = request.return_token_ids === true
  return {
    index: completion.index + promptIndex * (request.n ?? 1),
    text: isPromptOnly ? echoed : echoed + completion.text,
    logprobs: await logprobsOf(output, completion, { ...context, echoed }),
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

async function logprobsOf(
  output: RequestOutput,
  completion: CompletionOutput,
  { echoed, ...context }: ChoiceContext & { readonly echoed: string },
): Promise<CompletionLogprobs | null> {
  const { request, offsets, isBeginning, turns } = context
  if (request.logprobs == null) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const prompt = isBeginning && request.echo === true ? await promptTokens(output, context, naming) : []
  const entries = wantsPromptOnly(request) ? [] : (completion.logprobs ?? [])
  const promptOffsets = isBeginning
    ? offsets.ofPrompt(
        echoed,
        prompt.map(({ bytes }) => bytes),
      )
    : []
  return completionLogprobs(
    [...prompt, ...(await mapLogprobs(entries, (entry) => legacyToken(entry, naming), turns))],
    [...promptOffsets, ...offsets.ofOutput(entries)],
  )
}

function promptTokens(
  { promptLogprobs, promptTokenIds }: RequestOutput,
  { detokenize, turns }: Pick<ChoiceContext, 'detokenize' | 'turns'>,
  naming: TokenNaming,
): Promise<(LegacyToken & { readonly bytes: readonly number[] })[]> {
  const toToken = (entry: DecodedTokenLogprobs | null) => {
    if (entry !== null) return { ...legacyToken(entry, naming), bytes: entry.chosen.bytes }
    const tokenId = promptTokenIds[0] ?? 0
    const text = detokenize === null ? '' : detokenize([tokenId])
    return { ...firstPromptToken(tokenId, text, naming), bytes: [...Buffer.from(text)] }
  }
  return mapLogprobs(promptLogprobs ?? [], toToken, turns)
}
