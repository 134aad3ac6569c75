/** What leaves the engine: field names follow vLLM's `RequestOutput`. */

import type { MessageDelta } from '../chat-format/message-delta.ts'

export type FinishReason = 'stop' | 'length' | 'abort' | 'error'

/** The natural logarithm of a token's probability, before penalties and temperature. */
export interface Logprob {
  readonly tokenId: number
  readonly logprob: number
  /** 1 = the most likely token. */
  readonly rank: number
}

/** The sampled (or prompt) token first, then the most likely ones, best first; a token may appear in both places. */
export interface TokenLogprobs {
  readonly chosen: Logprob
  readonly top: readonly Logprob[]
}

/** As `Logprob`, with the token's text. */
export interface DecodedLogprob extends Logprob {
  readonly token: string
  /** UTF-8 bytes of the token, which may be part of a character. */
  readonly bytes: readonly number[]
}

/** As `TokenLogprobs`, with the tokens' text. */
export interface DecodedTokenLogprobs {
  readonly chosen: DecodedLogprob
  readonly top: readonly DecodedLogprob[]
}

export interface OutputTokenLogprobs extends DecodedTokenLogprobs {
  /** Where the token begins in the output's text, in code points; of a character in several tokens the first has it. */
  readonly textOffset: number
}

/** One sample of a request. */
export interface CompletionOutput {
  /** Which of the request's `n` samples. */
  readonly index: number
  /** With `outputKind: 'delta'` and 'parts' what is new since the last output, else all so far. The same holds for tokenIds and logprobs. */
  readonly text: string
  readonly tokenIds: readonly number[]
  readonly logprobs: readonly OutputTokenLogprobs[] | null
  readonly cumulativeLogprob: number | null
  readonly finishReason: FinishReason | null
  /** The stop string or stop token id that ended it; `null` for end-of-sequence and other reasons. */
  readonly stopReason: string | number | null
  /** With the chat prompt's `parseOutput`: reasoning, content and tool calls of the text, new or all so far as the text is. */
  readonly message: MessageDelta | null
}

/** What a request has yielded: all of it, or what is new, as its `outputKind` says. */
export interface RequestOutput {
  readonly requestId: string
  /** The rendered prompt text; `null` for token-id prompts. */
  readonly prompt: string | null
  readonly promptTokenIds: readonly number[]
  /** If asked for: on every output with samples with `outputKind: 'delta'` and 'parts', else on the last. The first entry is `null`. */
  readonly promptLogprobs: readonly (DecodedTokenLogprobs | null)[] | null
  readonly outputs: readonly CompletionOutput[]
  readonly finished: boolean
  /** Prompt tokens whose KV came from the prefix cache. */
  readonly numCachedTokens: number
}
