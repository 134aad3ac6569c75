/** An unbounded queue with one consumer: `push` on one side, `for await` on the other. */
export class AsyncQueue<T> implements AsyncIterableIterator<T, undefined> {
  readonly #items: T[] = []
  #end: { readonly error: Error | null } | null = null
  #wake: (() => void) | null = null

  push(item: T): void {
    if (this.#end !== null) return
    this.#items.push(item)
    this.#wakeConsumer()
  }

  /** The consumer still gets what was pushed before. */
  close(error: Error | null = null): void {
    this.#end ??= { error }
    this.#wakeConsumer()
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      if (this.#items.length > 0) return { done: false, value: this.#items.shift() as T }
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
