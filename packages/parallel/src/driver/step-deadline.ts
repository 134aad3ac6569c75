/** How long a late timer waits for what has come meanwhile: a process that was stopped for a while did not hang. */
const graceMs = 100

/** Calls back where steps run and none of them ends for too long. */
export class StepDeadline {
  readonly #timeoutMs: number
  readonly #onPassed: () => void
  #numRunning = 0
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(timeoutMs: number, onPassed: () => void) {
    this.#timeoutMs = timeoutMs
    this.#onPassed = onPassed
  }

  begin(): void {
    if (this.#numRunning++ === 0) this.#restart()
  }

  /** The next one's time begins: it may have waited for this one. */
  end(): void {
    if (--this.#numRunning === 0) this.#stop()
    else this.#restart()
  }

  /** For good. */
  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #restart(): void {
    this.#stop()
    if (this.#isClosed) return
    this.#timer = setTimeout(() => {
      this.#timer = setTimeout(this.#onPassed, graceMs)
    }, this.#timeoutMs)
  }
}
