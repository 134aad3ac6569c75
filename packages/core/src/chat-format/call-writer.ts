import type { MessageWriter } from './message-writer.ts'

/** One call while it is read. Before `begin` it may still turn out to be none. */
export class CallWriter {
  readonly #message: MessageWriter
  readonly #onBegin: () => void
  #hasBegun = false
  #hasArguments = false

  constructor(message: MessageWriter, onBegin: () => void) {
    this.#message = message
    this.#onBegin = onBegin
  }

  get hasBegun(): boolean {
    return this.#hasBegun
  }

  get index(): number {
    return this.#message.numCalls
  }

  begin(name: string, id: string | null = null): void {
    this.#hasBegun = true
    this.#message.beginCall(name, id)
    this.#onBegin()
  }

  write(text: string): void {
    if (text !== '') this.#hasArguments = true
    this.#message.writeArguments(text)
  }

  /** The call is complete; one without arguments has none. */
  end(): void {
    if (!this.#hasArguments) this.write('{}')
  }
}
