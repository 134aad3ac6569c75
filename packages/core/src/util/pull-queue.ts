/**
 * One consumer of what a producer keeps until it is asked for: `notify` on one side, `for await` on the other. What comes
 * while the consumer is busy costs nothing here.
 */
export class PullQueue<T extends object> implements AsyncIterableIterator<T, undefined> {
  readonly #take: () => Promise<T | null>
  #hasNews = false
  #end: { readonly error: Error | null } | null = null
  #wake: (() => void) | null = null

  /** @param take what there is now; `null` = nothing */
  constructor(take: () => Promise<T | null>) {
    this.#take = take
  }

  notify(): void {
    this.#hasNews = true
    this.#wakeConsumer()
  }

  /** The consumer still gets what there is. */
  close(error: Error | null = null): void {
    this.#end ??= { error }
    this.#hasNews = true
    this.#wakeConsumer()
  }

  async next(): Promise<IteratorResult<T, undefined>> {
    for (;;) {
      this.#hasNews = false
      const value = await this.#take()
      if (value !== null) return { done: false, value }
      // It may have come while the rest was taken.
      if (this.#hasNews) continue
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
