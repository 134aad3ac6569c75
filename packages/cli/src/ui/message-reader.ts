const fence = '"""'

/** Makes messages of lines: one each, but a backslash at a line's end and three quotes around lines hold them together. */
export class MessageReader {
  #lines: string[] = []
  #isFenced = false

  /** Whether the next line goes on with a message that was begun. */
  get isWithin(): boolean {
    return this.#isFenced || this.#lines.length > 0
  }

  /** The message, without white space at its ends, where the line completes one; else null. */
  add(line: string): string | null {
    if (this.#isFenced) return this.#addFenced(line)
    const start = line.trimStart()
    if (this.#lines.length === 0 && start.startsWith(fence)) {
      this.#isFenced = true
      return this.#addFenced(start.slice(fence.length))
    }
    if (line.endsWith('\\')) {
      this.#lines.push(line.slice(0, -1))
      return null
    }
    this.#lines.push(line)
    return this.end()
  }

  /** What there is of a message that nothing has completed. */
  end(): string {
    const message = this.#lines.join('\n').trim()
    this.#lines = []
    this.#isFenced = false
    return message
  }

  #addFenced(line: string): string | null {
    const isLast = line.trimEnd().endsWith(fence)
    this.#lines.push(isLast ? line.trimEnd().slice(0, -fence.length) : line)
    return isLast ? this.end() : null
  }
}
