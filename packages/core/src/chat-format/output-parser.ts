import { CallWriter } from './call-writer.ts'
import type { ChatFormat, ReasoningSyntax, ToolCallSyntax } from './chat-format.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { beginOfCall, isBareCall } from './call-frame.ts'
import { createCallId } from './create-call-id.ts'
import { isThinkingOpen } from './is-thinking-open.ts'
import type { MessageDelta } from './message-delta.ts'
import { MessageWriter } from './message-writer.ts'
import { PieceReader, type Step } from './piece-reader.ts'
import { readHarmony } from './read-harmony.ts'
import { readJsonCall } from './read-json-call.ts'
import { readNamedCall } from './read-named-call.ts'
import { readPythonicCall } from './read-pythonic-call.ts'
import { readTaggedCall } from './read-tagged-call.ts'
import { createValueTypes, type ValueTypes } from './tagged-value.ts'
import { wordsOf } from './words-of.ts'

export interface OutputParserOptions {
  /** The request's tools, whose schemas give tagged arguments their types; null = text that looks like a call is content. */
  readonly tools: readonly ToolDefinition[] | null
  /** The rendered end of the prompt (a few hundred characters suffice): thinking may be open there. */
  readonly promptTail: string
  /** A grammar lets nothing but calls follow the thinking: a call that is cut off before it has a name is no content. Default false. */
  readonly areCallsForced?: boolean
  /** Special tokens that are no markup are part of the content. Default false. */
  readonly keepSpecialTokens?: boolean
  /** Ids of calls whose dialect has none. Default: `call_` and 24 random characters, or what the template asks for. */
  readonly createId?: () => string
}

/** Reads generated text as it comes. What it gives is the same however the text is cut. */
export interface OutputParser {
  /** The next text; special tokens come as pieces of their own. */
  push(text: string, isSpecial: boolean): void
  /** No more text comes: what was held back is what it is. */
  finish(): void
  /** What was read since the last time. */
  take(): MessageDelta
}

export function createOutputParser(format: ChatFormat, options: OutputParserOptions): OutputParser {
  const { areCallsForced = false, keepSpecialTokens = false, promptTail, tools } = options
  const createId = options.createId ?? (() => createCallId(format.toolCalls?.idStyle ?? 'any'))
  const reader = new PieceReader()
  const message = new MessageWriter(createId, { dropsContent: areCallsForced })
  const calls = tools === null ? null : format.toolCalls
  const run =
    format.toolCalls?.call.type === 'harmony'
      ? readHarmony(reader, message, { parsesCalls: calls !== null, promptTail })
      : new MessageReader({
          reader,
          message,
          calls,
          reasoning: format.reasoning,
          wrapper: format.content,
          keepSpecialTokens,
          typesOf: createValueTypes(tools ?? []),
        }).read(isThinkingOpen(format, promptTail))
  return {
    push(text, isSpecial) {
      reader.push(text, isSpecial)
      run.next()
    },
    finish() {
      reader.end()
      run.next()
      message.finish()
    },
    take: () => message.take(),
  }
}

interface ReaderOptions {
  readonly reader: PieceReader
  readonly message: MessageWriter
  readonly calls: ToolCallSyntax | null
  readonly reasoning: ReasoningSyntax | null
  readonly wrapper: ChatFormat['content']
  readonly keepSpecialTokens: boolean
  readonly typesOf: (tool: string, key: string) => ValueTypes
}

/** What turns out to be no call is looked through again for one, but not over and over. */
const maxReread = 4096

/** A message: reasoning, content and calls, in any order that models write. */
class MessageReader {
  readonly #options: ReaderOptions
  /** What begins calls, in words; the first one is looked for. */
  readonly #beginWords: readonly string[]
  readonly #endWords: readonly string[]
  /** Calls have no markup of their own: only a whole answer can be calls. */
  readonly #isBare: boolean
  readonly #markers: readonly string[]
  readonly #callMarkers: readonly string[]

  constructor(options: ReaderOptions) {
    const { calls, reasoning, wrapper } = options
    this.#options = options
    this.#beginWords = calls === null ? [] : wordsOf(calls.begin)
    this.#endWords = calls === null ? [] : wordsOf(calls.end)
    this.#isBare = calls !== null && isBareCall(calls)
    const first = calls === null || this.#isBare ? '' : wordsOf(calls.begin + beginOfCall(calls.call))[0]!
    this.#callMarkers = first === '' ? [] : [first]
    const markers = [
      ...this.#callMarkers,
      ...(reasoning === null ? [] : [reasoning.begin]),
      ...(wrapper === null ? [] : [wrapper.begin.trim(), wrapper.end.trim()]),
    ]
    this.#markers = [...new Set(markers)].filter((marker) => marker !== '')
  }

  *read(isThinking: boolean): Step<void> {
    const { message, reader, reasoning } = this.#options
    if (isThinking) yield* this.#reasoning()
    for (;;) {
      if (this.#isBare && message.isBlank) yield* this.#bareCalls()
      const marker = yield* reader.passUntil(this.#markers, (from, to) => this.#content(from, to))
      if (marker === null) return
      if (marker === reasoning?.begin) yield* this.#reasoningOrText(marker)
      else if (this.#isWrapper(marker)) this.#skipWrapper(marker)
      else yield* this.#callsOrText(marker)
    }
  }

  #content(from: number, to: number): void {
    const { keepSpecialTokens, message, reader } = this.#options
    message.writeContent(keepSpecialTokens ? reader.slice(from, to) : reader.plainSlice(from, to))
  }

  #text(marker: string): void {
    const { reader } = this.#options
    this.#content(reader.at, reader.at + marker.length)
    reader.at += marker.length
  }

  #isWrapper(marker: string): boolean {
    const { wrapper } = this.#options
    return wrapper !== null && (marker === wrapper.begin.trim() || marker === wrapper.end.trim())
  }

  #skipWrapper(marker: string): void {
    this.#options.reader.at += marker.length
    this.#options.message.cutContent()
  }

  /** Thinking comes before an answer and after calls; elsewhere the model speaks about the marker. */
  *#reasoningOrText(marker: string): Step<void> {
    const { message, reader } = this.#options
    if (!message.isBlank) return this.#text(marker)
    reader.at += marker.length
    yield* this.#reasoning()
  }

  *#reasoning(): Step<void> {
    const { message, reader, reasoning } = this.#options
    const write = (from: number, to: number): void => message.writeReasoning(reader.plainSlice(from, to))
    for (;;) {
      const stop = yield* reader.passUntil([reasoning!.end, ...this.#callMarkers], write)
      // A special token is no text about calls: models leave their thinking by it, too.
      if (stop === null || (stop !== reasoning!.end && reader.isAtSpecial)) break
      if (stop !== reasoning!.end) write(reader.at, reader.at + stop.length)
      reader.at += stop.length
      if (stop !== reasoning!.end) continue
      // Where thinking is a message of its own, the answer's begins anew.
      const words = wordsOf(reasoning!.afterEnd)
      if (words.length > 0) yield* reader.takeWords(words)
      break
    }
    message.cutReasoning()
    message.cutContent()
  }

  *#bareCalls(): Step<void> {
    const { reader } = this.#options
    reader.mark()
    yield* reader.skipSpecials()
    if (!(yield* this.#calls())) reader.reset()
  }

  *#callsOrText(marker: string): Step<void> {
    const { message, reader } = this.#options
    const from = reader.mark()
    if (yield* this.#calls()) return message.cutContent()
    const isLong = reader.at - from > maxReread
    const to = isLong ? reader.at : from + marker.length
    reader.reset()
    this.#content(from, to)
    reader.at = to
  }

  /** All calls that stand together. False where there is none; the caller's mark is released otherwise. */
  *#calls(): Step<boolean> {
    const { calls, reader } = this.#options
    if (!(yield* reader.takeWords(this.#beginWords))) return false
    if (!(yield* this.#call())) return false
    // Llama writes this between calls, of which its template takes one only.
    const separators = calls!.separator === null ? [';'] : wordsOf(calls!.separator)
    for (;;) {
      reader.mark()
      yield* reader.skipBlank()
      yield* reader.takeWords(separators)
      if (yield* this.#call()) continue
      reader.reset()
      break
    }
    for (const word of this.#endWords) {
      yield* reader.skipBlank()
      if (!(yield* reader.takeOrCutOff(word))) break
    }
    return true
  }

  /** One call; the last mark is released where there is one. */
  *#call(): Step<boolean> {
    const { calls, typesOf, message, reader } = this.#options
    const call = new CallWriter(message, () => reader.release())
    const { call: syntax } = calls!
    if (syntax.type === 'json') yield* readJsonCall(reader, syntax, { isBare: this.#isBare, call })
    else if (syntax.type === 'named') yield* readNamedCall(reader, syntax, call)
    else if (syntax.type === 'tagged') yield* readTaggedCall(reader, syntax, { call, typesOf })
    else if (syntax.type === 'pythonic') yield* readPythonicCall(reader, call)
    if (!call.hasBegun) return false
    if (reader.hasRest || !reader.hasEnded) call.end()
    return true
  }
}
