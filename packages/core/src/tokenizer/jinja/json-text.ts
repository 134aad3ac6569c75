import { type Budget, TextWriter } from './budget.ts'
import { compareValues } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { floatText } from './number-text.ts'
import { integerText } from './printing.ts'
import { Dict, indexOf, isTrue, Markup, PyFloat, textOf, Tuple, typeName, type Value } from './values.ts'

export interface JsonOptions {
  readonly isAscii: Value
  readonly indentation: Value
  readonly separators: Value
  readonly sorts: Value
}

/** Python's `json.dumps`. */
export function writeJson(value: Value, options: JsonOptions, budget: Budget): string {
  const writer = new JsonWriter(options, budget)
  writer.write(value, 0)
  return writer.text
}

class JsonWriter {
  readonly #out: TextWriter
  readonly #budget: Budget
  readonly #isAscii: boolean
  readonly #sorts: boolean
  readonly #indentation: string | null
  readonly #itemSeparator: string
  readonly #keySeparator: string

  constructor({ isAscii, indentation, separators, sorts }: JsonOptions, budget: Budget) {
    this.#out = new TextWriter(budget)
    this.#budget = budget
    this.#isAscii = isTrue(isAscii)
    this.#sorts = isTrue(sorts)
    this.#indentation = toIndentation(indentation)
    const given = separators === null ? [] : separators instanceof Tuple ? separators.items : separators
    if (!Array.isArray(given)) throw new JinjaError('tojson() expects two separators')
    const [item = this.#indentation === null ? ', ' : ',', key = ': '] = given.map((separator) => textOf(separator))
    if (item === null || key === null) throw new JinjaError('tojson() expects texts as separators')
    this.#itemSeparator = item
    this.#keySeparator = key
  }

  get text(): string {
    return this.#out.text
  }

  write(value: Value, depth: number): void {
    this.#budget.step()
    this.#budget.depth(depth)
    if (value instanceof Dict) this.#dict(value, depth)
    else if (Array.isArray(value)) this.#list(value, depth)
    else if (value instanceof Tuple) this.#list(value.items, depth)
    else this.#out.write(this.#scalar(value))
  }

  #scalar(value: Value): string {
    if (typeof value === 'string') return this.#quote(value)
    if (value instanceof Markup) return this.#quote(value.text)
    return numberText(value) ?? fail(value)
  }

  #list(items: readonly Value[], depth: number): void {
    if (items.length === 0) return this.#out.write('[]')
    this.#out.write('[')
    for (const [index, item] of items.entries()) {
      this.#separate(index > 0, depth + 1)
      this.write(item, depth + 1)
    }
    this.#close(']', depth)
  }

  #dict(dict: Dict, depth: number): void {
    if (dict.size === 0) return this.#out.write('{}')
    this.#out.write('{')
    const entries = [...dict.entries.values()]
    if (this.#sorts) entries.sort(([a], [b]) => compareValues(a, b, { budget: this.#budget, sign: '<' }))
    for (const [index, [key, value]] of entries.entries()) {
      this.#separate(index > 0, depth + 1)
      this.#out.write(this.#quote(keyText(key)) + this.#keySeparator)
      this.write(value, depth + 1)
    }
    this.#close('}', depth)
  }

  #separate(hasBefore: boolean, depth: number): void {
    if (hasBefore) this.#out.write(this.#itemSeparator)
    this.#breakLine(depth)
  }

  #close(bracket: string, depth: number): void {
    this.#breakLine(depth)
    this.#out.write(bracket)
  }

  #breakLine(depth: number): void {
    if (this.#indentation === null) return
    this.#budget.text(this.#indentation.length * depth + 1)
    this.#out.write(`\n${this.#indentation.repeat(depth)}`)
  }

  #quote(text: string): string {
    this.#budget.text(text.length)
    // oxlint-disable-next-line no-control-regex -- JSON escapes them
    const quoted = `"${text.replace(/["\\\0-\x1f]/g, escapeChar)}"`
    return this.#isAscii ? quoted.replace(/[^\0-\x7e]/g, unicodeEscape) : quoted
  }
}

function toIndentation(value: Value): string | null {
  if (value === null) return null
  const width = indexOf(value)
  const text = width === null ? textOf(value) : ' '.repeat(Math.min(1024, Math.max(0, width)))
  return text ?? fail(value)
}

function numberText(value: Value): string | null {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'number' || typeof value === 'bigint') return integerText(value)
  if (!(value instanceof PyFloat)) return null
  if (Number.isNaN(value.value)) return 'NaN'
  if (!Number.isFinite(value.value)) return value.value < 0 ? '-Infinity' : 'Infinity'
  return floatText(value.value)
}

function keyText(key: Value): string {
  const text = textOf(key) ?? numberText(key)
  if (text === null) throw new JinjaError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
  return text
}

function fail(value: Value): never {
  throw new JinjaError(`Object of type ${typeName(value)} is not JSON serializable`)
}

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
}

function escapeChar(char: string): string {
  return shortEscapes[char] ?? unicodeEscape(char)
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
}
