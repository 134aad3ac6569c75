import type { MessageDelta } from '../chat-format/message-delta.ts'
import type { OutputParser } from '../chat-format/output-parser.ts'
import type { SamplingParams } from '../sampling-params.ts'
import type { SequenceUpdate } from '../scheduler/sequence-update.ts'
import type { CompletionOutput, DecodedTokenLogprobs, FinishReason, OutputTokenLogprobs } from '../sequence/outputs.ts'
import { type PackedLogprobs, tokenEnd } from '../sequence/packed-logprobs.ts'
import { Detokenizer } from '../tokenizer/detokenizer.ts'
import { countCodePoints } from '../tokenizer/utf8.ts'
import { type LogprobDecoder, maxDecodedAtOnce } from './logprob-decoder.ts'
import { MessageReader } from './message-reader.ts'
import { type StopAutomaton, StopMatcher } from './stop-strings.ts'

export interface SampleOutputOptions {
  readonly index: number
  readonly params: SamplingParams
  readonly promptTokenIds: readonly number[]
  readonly decoder: LogprobDecoder
  /** Of `params.stop`, shared by the samples of a request. */
  readonly stops: readonly StopAutomaton[]
  /** How the output has a `message`; 'plain': all text is content. */
  readonly messages: MessageSource
}

/** What makes messages of text; a parser for each sample. */
export type MessageSource = 'none' | 'plain' | (() => OutputParser)

/** How much a sample keeps. */
export interface HeldOutput {
  readonly tokens: number
  readonly logprobNumbers: number
  readonly characters: number
}

/**
 * The text side of one sample: ids in, text up to its stop out. It is read by `takeDelta` or by `takeAll`; of a delta
 * reader's it keeps what was not taken yet, packed, so that a slow one costs little.
 */
export class SampleOutput {
  readonly index: number
  readonly #params: SamplingParams
  readonly #decoder: LogprobDecoder
  readonly #detokenizer: Detokenizer | null
  readonly #hasPlainMessage: boolean
  /** It sees special tokens that the text may be without. */
  readonly #messageReader: MessageReader | null
  readonly #stopMatcher: StopMatcher
  #numTokens = 0
  #cumulativeLogprob = 0
  #finishReason: FinishReason | null = null
  #stopReason: string | number | null = null
  /** From `textStart` on. */
  #text = ''
  #textStart = 0
  #tokenIds: number[] = []
  readonly #packedLogprobs: PackedLogprobs[] = []
  /** Of the tokens in `packedLogprobs`, where they begin in the text. */
  readonly #textOffsets: number[] = []
  /** Of all the text; counted for logprobs only. */
  #numCodePoints = 0
  /** What `takeAll` has decoded. */
  readonly #decodedLogprobs: OutputTokenLogprobs[] = []
  #hasNews = false

  constructor({ index, params, promptTokenIds, decoder, stops, messages }: SampleOutputOptions) {
    const { detokenize, spacesBetweenSpecialTokens } = params
    this.#hasPlainMessage = messages === 'plain'
    this.#messageReader =
      typeof messages === 'function'
        ? new MessageReader({ parser: messages(), hidesSpecialTokens: params.skipSpecialTokens })
        : null
    const skipSpecialTokens = params.skipSpecialTokens && this.#messageReader === null
    this.index = index
    this.#params = params
    this.#decoder = decoder
    this.#detokenizer = detokenize
      ? new Detokenizer(decoder.tokenizer, { skipSpecialTokens, spacesBetweenSpecialTokens, promptTokenIds })
      : null
    this.#stopMatcher = new StopMatcher(stops)
  }

  /** Taken so far. */
  get numTokens(): number {
    return this.#numTokens
  }

  get finishReason(): FinishReason | null {
    return this.#finishReason
  }

  get isFinished(): boolean {
    return this.#finishReason !== null
  }

  /** Whether there is something that nobody has taken yet. */
  get hasNews(): boolean {
    return this.#hasNews
  }

  get numHeld(): HeldOutput {
    return {
      tokens: this.#tokenIds.length,
      logprobNumbers: this.#packedLogprobs.reduce((total, list) => total + list.length, 0),
      characters: this.#text.length + (this.#messageReader?.numHeldCharacters ?? 0),
    }
  }

  /** Takes what a step added. Returns true if a stop string ended the sample, which the engine does not know of. */
  push(update: SequenceUpdate): boolean {
    if (this.isFinished) return false
    this.#hasNews = true
    const { newTokenIds, finishReason, stopReason } = update
    for (const [i, tokenId] of newTokenIds.entries()) {
      const isLast = i === newTokenIds.length - 1
      this.#addToken(tokenId, update)
      // The token that ended it (end of sequence, or a stop token id) is no text.
      const isStopToken = isLast && finishReason === 'stop' && !this.#params.includeStopStrInOutput
      if (!isStopToken && this.#addTokenText(tokenId)) {
        this.#addLogprobs(update, i + 1)
        return finishReason === null || !isLast
      }
    }
    this.#addLogprobs(update, newTokenIds.length)
    if (finishReason !== null) this.finish(finishReason, stopReason)
    return false
  }

  finish(reason: FinishReason, stopReason: string | number | null): void {
    this.#text += this.#detokenizer?.flush() ?? ''
    this.#finishReason = reason
    this.#stopReason = stopReason
    this.#hasNews = true
  }

  #addToken(tokenId: number, { logprobs }: SequenceUpdate): void {
    if (logprobs !== null && this.#params.logprobs !== null) {
      // What is held back of the prompt's last character is this text's first.
      const isFirst = this.#numTokens === 0
      this.#textOffsets.push(isFirst ? 0 : this.#numCodePoints + (this.#detokenizer?.heldBefore(tokenId) ?? 0))
    }
    this.#tokenIds.push(tokenId)
    this.#numTokens++
  }

  /** Everything so far. */
  async takeAll(): Promise<CompletionOutput> {
    this.#hasNews = false
    const text = this.#text.slice(0, this.#numShown())
    this.#readMessage(text.length)
    const output = {
      ...this.#output(text, this.#tokenIds.slice(), this.#finishReason),
      message: this.#messageReader?.takeAll() ?? this.#plainMessage(text),
    }
    if (output.logprobs === null) return output
    const textOffsets = this.#textOffsets.splice(0)
    const news = await this.#decoder.decodeInTurns(this.#packedLogprobs.splice(0))
    for (const entry of withOffsets(news, textOffsets)) this.#decodedLogprobs.push(entry)
    return { ...output, logprobs: this.#decodedLogprobs.slice() }
  }

  /** What is new since the last call; of many logprobs a part, and `hasNews` says that there are more. */
  takeDelta(): CompletionOutput {
    const numShown = Math.max(0, this.#numShown())
    const text = this.#text.slice(0, numShown)
    this.#readMessage(numShown)
    this.#text = this.#text.slice(numShown)
    this.#textStart += numShown
    const logprobs = this.#decoder.decode(this.#packedLogprobs.splice(0, this.#numListsAtOnce()))
    const hasMore = this.#packedLogprobs.length > 0
    const tokenIds = this.#tokenIds.splice(0, hasMore ? logprobs.length : this.#tokenIds.length)
    this.#hasNews = hasMore
    const output = {
      ...this.#output(text, tokenIds, hasMore ? null : this.#finishReason),
      message: this.#messageReader?.takeDelta() ?? this.#plainMessage(text),
    }
    if (output.logprobs === null) return output
    return { ...output, logprobs: withOffsets(logprobs, this.#textOffsets.splice(0, logprobs.length)) }
  }

  #numListsAtOnce(): number {
    let count = 0
    for (let length = 0; length < maxDecodedAtOnce && count < this.#packedLogprobs.length; count++)
      length += this.#packedLogprobs[count]!.length
    return count
  }

  #addLogprobs({ logprobs }: SequenceUpdate, numTokens: number): void {
    if (logprobs === null || this.#params.logprobs === null || numTokens === 0) return
    let end = 0
    for (let i = 0; i < numTokens && end < logprobs.length; i++) {
      // After its count comes the chosen token, its id first.
      if (logprobs[end]! > 0) this.#cumulativeLogprob += logprobs[end + 2]!
      end = tokenEnd(logprobs, end)
    }
    this.#packedLogprobs.push(end < logprobs.length ? logprobs.slice(0, end) : logprobs)
  }

  /** As `addText`, for a token; a special one is told to the message's reader, and need not be text. */
  #addTokenText(tokenId: number): boolean {
    const text = this.#detokenizer?.push(tokenId) ?? ''
    const { tokenizer } = this.#decoder
    if (this.#messageReader === null || text === '' || !tokenizer.specialTokenIds.has(tokenId))
      return this.#addText(text)
    const ownText = [tokenizer.idToToken(tokenId), tokenizer.decode([tokenId])].find(
      (own) => own !== null && text.endsWith(own),
    )
    // What was held back until this token came.
    const before = text.slice(0, text.length - (ownText ?? text).length)
    if (this.#addText(before)) return true
    this.#messageReader.addSpecialToken(ownText ?? text, this.#textStart + this.#text.length)
    return this.#params.skipSpecialTokens ? false : this.#addText(ownText ?? text)
  }

  /** Returns true if the text now holds a stop string, and is cut there. */
  #addText(text: string): boolean {
    this.#text += text
    if (this.#params.logprobs !== null) this.#numCodePoints += countCodePoints(text)
    const { minTokens, includeStopStrInOutput } = this.#params
    if (this.#numTokens <= minTokens) {
      this.#stopMatcher.pass(text)
      return false
    }
    const match = this.#stopMatcher.push(text)
    if (match === null) return false
    this.#text = this.#text.slice(0, (includeStopStrInOutput ? match.end : match.start) - this.#textStart)
    this.#finishReason = 'stop'
    this.#stopReason = match.stop
    return true
  }

  /** Of `text`. */
  #numShown(): number {
    return this.isFinished ? this.#text.length : this.#text.length - this.#stopMatcher.heldBackLength
  }

  /** Of the text that is held, `numShown` characters. */
  #readMessage(numShown: number): void {
    const end = this.#textStart + numShown
    this.#messageReader?.read({ text: this.#text, start: this.#textStart }, end)
    if (this.isFinished) this.#messageReader?.finish(end)
  }

  #plainMessage(content: string): MessageDelta | null {
    return this.#hasPlainMessage ? { reasoning: '', content, toolCalls: [] } : null
  }

  #output(text: string, tokenIds: number[], finishReason: FinishReason | null): Omit<CompletionOutput, 'message'> {
    const hasLogprobs = this.#params.logprobs !== null
    return {
      index: this.index,
      text,
      tokenIds,
      logprobs: hasLogprobs ? [] : null,
      cumulativeLogprob: hasLogprobs ? this.#cumulativeLogprob : null,
      finishReason,
      stopReason: finishReason === null ? null : this.#stopReason,
    }
  }
}

function withOffsets(
  entries: readonly (DecodedTokenLogprobs | null)[],
  textOffsets: readonly number[],
): OutputTokenLogprobs[] {
  return entries.flatMap((entry, i) => (entry === null ? [] : { ...entry, textOffset: textOffsets[i]! }))
}
