import type { DecodedLogprob, DecodedTokenLogprobs } from '@octavo/core'
import type { ChatLogprobs, CompletionLogprobs, WirePromptLogprobs } from '@octavo/sdk/protocol'

/** JSON has no infinity; vLLM's stand-in for "impossible". */
const minLogprob = -9999

export interface TokenNaming {
  /** `return_tokens_as_token_ids`: "token_id:7" instead of the text, which several tokens may share. */
  readonly asTokenIds: boolean
}

export function chatLogprobs(tokens: readonly DecodedTokenLogprobs[], naming: TokenNaming): ChatLogprobs {
  const toEntry = (entry: DecodedLogprob) => ({
    token: nameOf(entry, naming),
    logprob: clamp(entry.logprob),
    bytes: [...entry.bytes],
  })
  return { content: tokens.map(({ chosen, top }) => ({ ...toEntry(chosen), top_logprobs: top.map(toEntry) })) }
}

/** One row of the legacy object; the first prompt token has no logprobs. */
export interface LegacyToken {
  readonly token: string
  readonly logprob: number | null
  readonly top: Record<string, number> | null
  /** Code points that begin with this token, however it is named: of a character in several tokens the first has it. */
  readonly numCodePoints: number
}

export function legacyToken({ chosen, top }: DecodedTokenLogprobs, naming: TokenNaming): LegacyToken {
  const entries = [chosen, ...top].map((entry): [string, number] => [nameOf(entry, naming), clamp(entry.logprob)])
  return {
    token: nameOf(chosen, naming),
    logprob: clamp(chosen.logprob),
    top: Object.fromEntries(entries),
    numCodePoints: chosen.bytes.filter(isLeadingByte).length,
  }
}

export function firstPromptToken(tokenId: number, text: string, { asTokenIds }: TokenNaming): LegacyToken {
  const token = asTokenIds ? `token_id:${tokenId}` : text
  return { token, logprob: null, top: null, numCodePoints: numCodePoints(text) }
}

/** `offset`: where the first token begins in the choice's text. Offsets count code points, as in Python, where most readers of this object live. */
export function completionLogprobs(tokens: readonly LegacyToken[], offset: number): CompletionLogprobs {
  let next = offset
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => top),
    text_offset: tokens.map((token) => {
      const begin = next
      next += token.numCodePoints
      return begin
    }),
  }
}

export function promptLogprobs(tokens: readonly (DecodedTokenLogprobs | null)[]): WirePromptLogprobs {
  return tokens.map((entry) => {
    if (entry === null) return null
    const rows = [entry.chosen, ...entry.top].map((row) => [
      String(row.tokenId),
      { logprob: clamp(row.logprob), rank: row.rank, decoded_token: row.token },
    ])
    return Object.fromEntries(rows)
  })
}

export function numCodePoints(text: string): number {
  let count = 0
  for (const _ of text) count++
  return count
}

/** In UTF-8 all bytes of a character but its first are 10xxxxxx. */
function isLeadingByte(byte: number): boolean {
  return (byte & 0xc0) !== 0x80
}

function nameOf({ tokenId, token }: DecodedLogprob, { asTokenIds }: TokenNaming): string {
  return asTokenIds ? `token_id:${tokenId}` : token
}

function clamp(logprob: number): number {
  return Math.max(logprob, minLogprob)
}
