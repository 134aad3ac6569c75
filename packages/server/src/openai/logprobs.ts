import type { DecodedLogprob, DecodedTokenLogprobs, TurnQueue } from '@octavo/core'
import type { ChatLogprobs, CompletionLogprobs, WirePromptLogprobs } from '@octavo/sdk/protocol'
import { mapInTurns } from '../map-in-turns.ts'

/** JSON has no infinity; vLLM's stand-in for "impossible". */
const minLogprob = -9999

export interface TokenNaming {
  /** `return_tokens_as_token_ids`: "token_id:7" instead of the text, which several tokens may share. */
  readonly asTokenIds: boolean
}

/** `mapInTurns` by the number of their candidates, of which all tokens of a request have the same. */
export function mapLogprobs<T extends DecodedTokenLogprobs | null, R>(
  tokens: readonly T[],
  map: (token: T) => R,
  turns: TurnQueue,
): Promise<R[]> {
  return mapInTurns(tokens, map, { turns, weight: 1 + (tokens.at(-1)?.top.length ?? 0) })
}

export async function chatLogprobs(
  tokens: readonly DecodedTokenLogprobs[],
  naming: TokenNaming,
  turns: TurnQueue,
): Promise<ChatLogprobs> {
  const toEntry = (entry: DecodedLogprob) => ({
    token: nameOf(entry, naming),
    logprob: clamp(entry.logprob),
    bytes: [...entry.bytes],
  })
  const toRow = ({ chosen, top }: DecodedTokenLogprobs) => ({ ...toEntry(chosen), top_logprobs: top.map(toEntry) })
  return { content: await mapLogprobs(tokens, toRow, turns) }
}

/** One row of the legacy object; the first prompt token has no logprobs. */
export interface LegacyToken {
  readonly token: string
  readonly logprob: number | null
  readonly top: Record<string, number> | null
}

export function legacyToken({ chosen, top }: DecodedTokenLogprobs, naming: TokenNaming): LegacyToken {
  const entries = [chosen, ...top].map((entry): [string, number] => [nameOf(entry, naming), clamp(entry.logprob)])
  return {
    token: nameOf(chosen, naming),
    logprob: clamp(chosen.logprob),
    top: Object.fromEntries(entries),
  }
}

export function firstPromptToken(tokenId: number, text: string, { asTokenIds }: TokenNaming): LegacyToken {
  return { token: asTokenIds ? `token_id:${tokenId}` : text, logprob: null, top: null }
}

/** `offsets`: where each token begins in the choice's text. */
export function completionLogprobs(tokens: readonly LegacyToken[], offsets: readonly number[]): CompletionLogprobs {
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => top),
    text_offset: [...offsets],
  }
}

export function promptLogprobs(
  tokens: readonly (DecodedTokenLogprobs | null)[],
  turns: TurnQueue,
): Promise<WirePromptLogprobs> {
  const toRow = (entry: DecodedTokenLogprobs | null): WirePromptLogprobs[number] => {
    if (entry === null) return null
    const rows = [entry.chosen, ...entry.top].map((row) => [
      String(row.tokenId),
      { logprob: clamp(row.logprob), rank: row.rank, decoded_token: row.token },
    ])
    return Object.fromEntries(rows)
  }
  return mapLogprobs(tokens, toRow, turns)
}

function nameOf({ tokenId, token }: DecodedLogprob, { asTokenIds }: TokenNaming): string {
  return asTokenIds ? `token_id:${tokenId}` : token
}

function clamp(logprob: number): number {
  return Math.max(logprob, minLogprob)
}
