/** Text without the white space around it, as far as one can say before its end has come. */
export class TrimmedText {
  #text = ''
  #held = ''
  #isBlank = true
  #wasWritten = false
  /** White space here at the beginning is part of the text. */
  #keepsBegin: boolean

  constructor({ keepsBegin = false } = {}) {
    this.#keepsBegin = keepsBegin
  }

  /** Nothing but white space since the beginning or the last cut. */
  get isBlank(): boolean {
    return this.#isBlank
  }

  write(text: string): void {
    const fresh = this.#isBlank && !this.#keepsBegin ? text.trimStart() : text
    const solid = fresh.trimEnd()
    if (solid === '') {
      this.#held += fresh
      return
    }
    // What was cut apart stands on lines of its own.
    if (this.#isBlank && this.#wasWritten) this.#text += '\n'
    this.#isBlank = false
    this.#wasWritten = true
    this.#text += this.#held + solid
    this.#held = fresh.slice(solid.length)
  }

  /** What surrounds this place is no part of the text: white space held back is gone, and so is what comes next. */
  cut(): void {
    this.#held = ''
    this.#isBlank = true
    this.#keepsBegin = false
  }

  /** White space held back is part of the text. */
  flush(): void {
    this.#text += this.#held
    this.#held = ''
  }

  take(): string {
    const text = this.#text
    this.#text = ''
    return text
  }
}
