import type { MessageDelta, ToolCallDelta } from './message-delta.ts'
import { TrimmedText } from './trimmed-text.ts'

/** Gathers what was read until somebody takes it. */
export class MessageWriter {
  readonly #createId: () => string
  readonly #dropsContent: boolean
  readonly #reasoning = new TrimmedText()
  readonly #content = new TrimmedText({ keepsBegin: true })
  #calls: ToolCallDelta[] = []
  #numCalls = 0

  constructor(createId: () => string, { dropsContent }: { readonly dropsContent: boolean }) {
    this.#createId = createId
    this.#dropsContent = dropsContent
  }

  get numCalls(): number {
    return this.#numCalls
  }

  /** Nothing but white space was written as content since the beginning or the last markup. */
  get isBlank(): boolean {
    return this.#content.isBlank
  }

  writeReasoning(text: string): void {
    this.#reasoning.write(text)
  }

  writeContent(text: string): void {
    if (!this.#dropsContent) this.#content.write(text)
  }

  /** White space around markup is part of the markup. */
  cutContent(): void {
    this.#content.cut()
  }

  cutReasoning(): void {
    this.#reasoning.cut()
  }

  beginCall(name: string, id: string | null): void {
    this.cutContent()
    this.#calls.push({ index: this.#numCalls++, id: id ?? this.#createId(), name, arguments: '' })
  }

  writeArguments(text: string): void {
    if (text === '') return
    const last = this.#calls.at(-1)
    if (last === undefined) this.#calls.push({ index: this.#numCalls - 1, id: null, name: null, arguments: text })
    else this.#calls[this.#calls.length - 1] = { ...last, arguments: last.arguments + text }
  }

  /** White space at the end of a plain answer is part of it. */
  finish(): void {
    this.#content.flush()
  }

  take(): MessageDelta {
    const toolCalls = this.#calls
    this.#calls = []
    return { reasoning: this.#reasoning.take(), content: this.#content.take(), toolCalls }
  }
}
