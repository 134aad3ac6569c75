/**
 * A queue with one consumer, `push` on one side, `for await` on the other, that holds one item at most: what comes while
 * the consumer is busy is merged into what waits for it.
 */
export class AsyncQueue<T extends object> implements AsyncIterableIterator<T, undefined> {
  readonly #merge: (pending: T, next: T) => T
  #pending: T | null = null
  #end: { readonly error: Error | null } | null = null
  #wake: (() => void) | null = null

  constructor(merge: (pending: T, next: T) => T) {
    this.#merge = merge
  }

  push(item: T): void {
    if (this.#end !== null) return
    this.#pending = this.#pending === null ? item : this.#merge(this.#pending, item)
    this.#wakeConsumer()
  }

  /** The consumer still gets what was pushed before. */
  close(error: Error | null = null): void {
    this.#end ??= { error }
    this.#wakeConsumer()
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      if (this.#pending !== null) {
        const value = this.#pending
        this.#pending = null
        return { done: false, value }
      }
      if (this.#end !== null) {
        if (this.#end.error !== null) throw this.#end.error
        return { done: true, value: undefined }
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #wakeConsumer(): void {
    this.#wake?.()
    this.#wake = null
  }
}
