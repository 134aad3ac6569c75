/**
 * Finds the end of a JSON value that comes in pieces. It heeds strings and brackets and leaves the rest to those who parse
 * the value: a model's mistakes inside are handed on as they are.
 */
export class JsonScanner {
  readonly #open: string[] = []
  #isInString = false
  #isEscaped = false
  #isScalar = false
  #hasBegun = false
  #isDone = false
  #isBroken = false

  get isDone(): boolean {
    return this.#isDone
  }

  /** Brackets do not match: where the value ends cannot be said. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  /** Reads on; the index behind what belongs to the value. */
  feed(text: string): number {
    for (let i = 0; i < text.length; i++) {
      const end = this.#next(text[i]!)
      if (end === 'before') return i
      if (end === 'after') return i + 1
    }
    return text.length
  }

  /** No more text comes: a number or a word is complete. */
  finish(): void {
    if (this.#isScalar) this.#isDone = true
  }

  #next(char: string): 'before' | 'after' | null {
    if (this.#isInString) return this.#inString(char)
    if (this.#isScalar) {
      if (!/[\s,:{}[\]"]/.test(char)) return null
      this.#isDone = true
      return 'before'
    }
    if (!this.#hasBegun) {
      this.#hasBegun = true
      if (char !== '"' && char !== '{' && char !== '[') {
        this.#isScalar = true
        return this.#next(char)
      }
    }
    if (char === '"') this.#isInString = true
    else if (char === '{' || char === '[') this.#open.push(char)
    else if (char === '}' || char === ']') return this.#close(char)
    return null
  }

  #inString(char: string): 'after' | null {
    if (this.#isEscaped) this.#isEscaped = false
    else if (char === '\\') this.#isEscaped = true
    else if (char === '"') {
      this.#isInString = false
      return this.#endIfOutside()
    }
    return null
  }

  #close(char: string): 'before' | 'after' | null {
    if (this.#open.pop() === (char === '}' ? '{' : '[')) return this.#endIfOutside()
    this.#isBroken = true
    return 'before'
  }

  #endIfOutside(): 'after' | null {
    if (this.#open.length > 0) return null
    this.#isDone = true
    return 'after'
  }
}
