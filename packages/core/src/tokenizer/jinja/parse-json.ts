import { JinjaError } from './jinja-error.ts'
import { Dict, PyFloat, toInteger, type Value } from './values.ts'

const maxDepth = 200
/** Of a whole number, as Python has it: reading and printing it take more than a time that grows with its length. */
const maxDigits = 4300
const space = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const words: readonly (readonly [string, Value])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
]

/**
 * JSON text → a template's value, as Python's `json.loads` has it: integers whole, 1.0 and 1e2 floats, keys in the order
 * written. Throws JinjaError.
 */
export function parseJson(text: string): Value {
  return new JsonParser(text).parse()
}

class JsonParser {
  readonly #text: string
  #pos = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Value {
    const value = this.#value(0)
    this.#match(space)
    if (this.#pos < this.#text.length) this.#fail()
    return value
  }

  #value(depth: number): Value {
    if (depth > maxDepth) throw new JinjaError(`JSON is nested more than ${maxDepth} levels deep`)
    this.#match(space)
    switch (this.#text[this.#pos]) {
      case '{':
        return this.#object(depth)
      case '[':
        return this.#array(depth)
      case '"':
        return this.#string()
      default:
        return this.#scalar()
    }
  }

  #object(depth: number): Dict {
    const dict = new Dict()
    this.#pos++
    if (this.#skip('}')) return dict
    do {
      this.#match(space)
      if (this.#text[this.#pos] !== '"') this.#fail()
      const key = this.#string()
      if (!this.#skip(':')) this.#fail()
      dict.setText(key, this.#value(depth + 1))
    } while (this.#skip(','))
    if (!this.#skip('}')) this.#fail()
    return dict
  }

  #array(depth: number): Value[] {
    const items: Value[] = []
    this.#pos++
    if (this.#skip(']')) return items
    do items.push(this.#value(depth + 1))
    while (this.#skip(','))
    if (!this.#skip(']')) this.#fail()
    return items
  }

  #string(): string {
    const start = this.#pos
    let end = start + 1
    while (end < this.#text.length && this.#text[end] !== '"') end += this.#text[end] === '\\' ? 2 : 1
    this.#pos = end + 1
    try {
      return JSON.parse(this.#text.slice(start, this.#pos)) as string
    } catch {
      return this.#fail()
    }
  }

  #scalar(): Value {
    const digits = this.#match(number)
    if (digits !== null) {
      const isFloat = digits[1] !== undefined || digits[2] !== undefined
      if (isFloat) return new PyFloat(Number(digits[0]))
      if (digits[0].replace('-', '').length > maxDigits)
        throw new JinjaError(`JSON has a whole number of more than ${maxDigits} digits; send it as a string`)
      return toInteger(BigInt(digits[0]))
    }
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#pos)) continue
      this.#pos += word.length
      return value
    }
    return this.#fail()
  }

  #skip(char: string): boolean {
    this.#match(space)
    if (this.#text[this.#pos] !== char) return false
    this.#pos++
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#pos
    const match = pattern.exec(this.#text)
    if (match !== null) this.#pos = pattern.lastIndex
    return match
  }

  #fail(): never {
    throw new JinjaError(`JSON is not valid at character ${this.#pos}`)
  }
}
