import { formatBytes } from '@octavo/core'

const barWidth = 24
const redrawMs = 100

/** A terminal's progress bar; on anything else a line per quarter, so that logs stay short. */
export class ProgressBar {
  readonly #stream: NodeJS.WriteStream
  readonly #format: (amount: number) => string
  #label = ''
  #drawnAt = 0
  #drawn = ''
  #quarter = 0
  #isOpen = false

  /** @param format of an amount; amounts are bytes by default */
  constructor(stream: NodeJS.WriteStream = process.stderr, format: (amount: number) => string = formatBytes) {
    this.#stream = stream
    this.#format = format
  }

  /** How much so far and in all; `total` 0 means unknown. A new label starts a new line. */
  update(label: string, loaded: number, total: number): void {
    if (label !== this.#label) {
      this.end()
      this.#label = label
      this.#quarter = 0
    }
    if (this.#stream.isTTY) this.#draw(loaded, total)
    else this.#log(loaded, total)
  }

  end(): void {
    if (this.#isOpen) this.#stream.write('\n')
    this.#isOpen = false
    this.#label = ''
  }

  #draw(loaded: number, total: number): void {
    const isComplete = total > 0 && loaded >= total
    const now = performance.now()
    if (!isComplete && now - this.#drawnAt < redrawMs) return
    this.#drawnAt = now
    const share = total > 0 ? Math.min(loaded / total, 1) : 0
    const filled = Math.round(share * barWidth)
    const bar = total > 0 ? `[${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${Math.floor(share * 100)}% ` : ''
    const line = `${this.#label} ${bar}${this.#describe(loaded, total)}`
    if (line === this.#drawn) return
    this.#drawn = line
    this.#stream.write(`\r${line.slice(0, (this.#stream.columns ?? 80) - 1)}\u001B[K`)
    this.#isOpen = true
  }

  #log(loaded: number, total: number): void {
    const quarter = total > 0 ? Math.floor((loaded / total) * 4) : 0
    if (quarter <= this.#quarter) return
    this.#quarter = quarter
    this.#stream.write(`${this.#label} ${Math.floor((loaded / total) * 100)}% ${this.#describe(loaded, total)}\n`)
  }

  #describe(loaded: number, total: number): string {
    return total > 0 ? `${this.#format(loaded)} of ${this.#format(total)}` : this.#format(loaded)
  }
}
