import type { CompletionOutput, DecodedTokenLogprobs, RequestOutput, TurnQueue } from '@octavo/core'
import type { CompletionChoice, CompletionLogprobs, CompletionRequest } from '@octavo/sdk/protocol'
import { HttpError } from '../http-error.ts'
import { toWireFinishReason } from './finish-reason.ts'
import type { LegacyToken } from './logprobs.ts'
import { completionLogprobs, firstPromptToken, legacyToken, mapLogprobs } from './logprobs.ts'
import { promptOffsets } from './text-offsets.ts'

/** Token ids → text, special tokens kept. */
export type Detokenize = (tokenIds: readonly number[]) => string

export interface ChoiceContext {
  readonly request: CompletionRequest
  readonly promptIndex: number
  readonly turns: TurnQueue
  readonly echo: EchoedPrompt
  /** Nothing of this choice was sent before. */
  readonly isBeginning: boolean
}

/** What the choices of a prompt begin with, made once for all of them; empty where no echo is asked for. */
export interface EchoedPrompt {
  readonly text: string
  /** In code points. */
  readonly length: number
  /** Only if logprobs are asked for. */
  readonly tokens: readonly LegacyToken[]
  readonly offsets: readonly number[]
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
  const { request, promptIndex, echo, isBeginning } = context
  const isPromptOnly = wantsPromptOnly(request)
  const echoed = isBeginning ? echo.text : ''
  const finishReason =
    isPromptOnly && completion.finishReason !== null ? 'length' : toWireFinishReason(completion.finishReason)
  const hasTokenIds = request.return_token_ids === true
  return {
    index: completion.index + promptIndex * (request.n ?? 1),
    text: isPromptOnly ? echoed : echoed + completion.text,
    logprobs: await logprobsOf(completion, context),
    finish_reason: finishReason,
    stop_reason: isPromptOnly ? null : completion.stopReason,
    token_ids: hasTokenIds ? (isPromptOnly ? [] : [...completion.tokenIds]) : null,
    prompt_token_ids: hasTokenIds && isBeginning ? [...output.promptTokenIds] : null,
  }
}

interface EchoOptions {
  readonly request: CompletionRequest
  /** `null` where the engine cannot. */
  readonly detokenize: Detokenize | null
  readonly turns: TurnQueue
}

/** @throws HttpError 400 where the prompt came as token ids and the engine cannot turn them into text */
export async function echoPrompt(output: RequestOutput, options: EchoOptions): Promise<EchoedPrompt> {
  const { request, detokenize, turns } = options
  if (request.echo !== true) return { text: '', length: 0, tokens: [], offsets: [] }
  const text = promptText(output, detokenize)
  const tokens = request.logprobs == null ? [] : await promptTokens(output, options)
  const bytes = tokens.map((token) => token.bytes)
  return { text, tokens, ...(await promptOffsets(text, bytes, turns)) }
}

function promptText({ prompt, promptTokenIds }: RequestOutput, detokenize: Detokenize | null): string {
  if (prompt !== null) return prompt
  if (detokenize !== null) return detokenize(promptTokenIds)
  throw new HttpError(400, 'echo: this engine cannot echo a prompt of token ids; pass text.', { param: 'echo' })
}

async function logprobsOf(
  completion: CompletionOutput,
  { request, echo, isBeginning, turns }: ChoiceContext,
): Promise<CompletionLogprobs | null> {
  if (request.logprobs == null) return null
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const entries = wantsPromptOnly(request) ? [] : (completion.logprobs ?? [])
  const tokens = await mapLogprobs(entries, (entry) => legacyToken(entry, naming), turns)
  const offsets = entries.map(({ textOffset }) => echo.length + textOffset)
  return isBeginning
    ? completionLogprobs([...echo.tokens, ...tokens], [...echo.offsets, ...offsets])
    : completionLogprobs(tokens, offsets)
}

function promptTokens(
  { promptLogprobs, promptTokenIds }: RequestOutput,
  { request, detokenize, turns }: EchoOptions,
): Promise<(LegacyToken & { readonly bytes: readonly number[] })[]> {
  const naming = { asTokenIds: request.return_tokens_as_token_ids === true }
  const toToken = (entry: DecodedTokenLogprobs | null) => {
    if (entry !== null) return { ...legacyToken(entry, naming), bytes: entry.chosen.bytes }
    const tokenId = promptTokenIds[0] ?? 0
    const text = detokenize === null ? '' : detokenize([tokenId])
    return { ...firstPromptToken(tokenId, text, naming), bytes: [...Buffer.from(text)] }
  }
  return mapLogprobs(promptLogprobs ?? [], toToken, turns)
}
