import type { Budget } from './budget.ts'
import { numberOf } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { asciiText } from './percent-format.ts'
import { exponentialText, fixedText, floatText, generalText } from './number-text.ts'
import { integerText, repr, toText } from './printing.ts'
import { escapeHtml } from './html.ts'
import { lengthOf } from './text.ts'
import { type CallArguments, Markup, PyFloat, textOf, typeName, type Value } from './values.ts'

const maxWidth = 65_536
const maxDepth = 2

/** How `{0.name}` and `{0[key]}` find their values. */
interface Access {
  getAttribute(object: Value, name: string, budget: Budget): Value
  getItem(object: Value, key: Value, budget: Budget): Value
}

interface Formatting extends CallArguments, Access {
  readonly isMarkup: boolean
}

/** Python's `text.format(…)`. */
export function formatText(text: string, given: Formatting, budget: Budget): string {
  return new Formatter(given, budget).format(text, maxDepth)
}

class Formatter {
  readonly #given: Formatting
  readonly #budget: Budget
  #nextIndex = 0
  #isNumbered: boolean | null = null

  constructor(given: Formatting, budget: Budget) {
    this.#given = given
    this.#budget = budget
  }

  format(text: string, depth: number): string {
    if (depth < 0) throw new JinjaError('Max string recursion exceeded')
    let out = ''
    for (let i = 0; i < text.length;) {
      const char = text[i]!
      if (char !== '{' && char !== '}') {
        const brace = text.slice(i).search(/[{}]/)
        const end = brace === -1 ? text.length : i + brace
        out += text.slice(i, end)
        i = end
      } else if (text[i + 1] === char) {
        out += char
        i += 2
      } else {
        if (char === '}') throw new JinjaError("Single '}' encountered in format string")
        const end = fieldEnd(text, i + 1)
        out += this.#field(text.slice(i + 1, end), depth)
        i = end + 1
      }
      this.#budget.step()
    }
    this.#budget.text(out.length)
    return out
  }

  #field(field: string, depth: number): string {
    const [, path = '', conversion, spec = ''] = /^((?:\[[^\]]*\]|[^!:[])*)(?:!(.))?(?::([^]*))?$/.exec(field) ?? []
    const value = this.#convert(this.#value(path), conversion)
    const text = formatValue(value, this.format(spec, depth - 1), this.#budget)
    return this.#given.isMarkup && !(value instanceof Markup) ? escapeHtml(text) : text
  }

  #convert(value: Value, conversion: string | undefined): Value {
    if (conversion === undefined) return value
    if (conversion === 's') return toText(value, this.#budget)
    if (conversion === 'r') return repr(value, this.#budget)
    if (conversion === 'a') return asciiText(repr(value, this.#budget))
    throw new JinjaError(`Unknown conversion specifier '${conversion}'`)
  }

  #value(path: string): Value {
    const [first = ''] = /^[^.[]*/.exec(path) ?? []
    let value = this.#argument(first)
    for (const [, name, key] of path.slice(first.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      if (name !== undefined) value = this.#given.getAttribute(value, name, this.#budget)
      else if (key !== undefined)
        value = this.#given.getItem(value, /^\d+$/.test(key) ? Number(key) : key, this.#budget)
    }
    return value
  }

  #argument(name: string): Value {
    const { args, kwargs } = this.#given
    const isAuto = name === ''
    if (isAuto || /^\d+$/.test(name)) {
      if (this.#isNumbered === isAuto)
        throw new JinjaError('cannot mix numbered and automatic fields in a format string')
      this.#isNumbered = !isAuto
      const value = args[isAuto ? this.#nextIndex++ : Number(name)]
      if (value === undefined) throw new JinjaError('Replacement index out of range for positional args')
      return value
    }
    const value = kwargs.get(name)
    if (value === undefined) throw new JinjaError(`there is no value '${name}' to format`)
    return value
  }
}

/** The closing brace of a field, which may have fields in its format. */
function fieldEnd(text: string, start: number): number {
  let depth = 1
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth++
    else if (text[i] === '}' && --depth === 0) return i
  }
  throw new JinjaError("expected '}' before end of string")
}

const specPattern = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su

interface Spec {
  readonly fill: string
  readonly align: string
  readonly sign: string
  readonly hasPrefix: boolean
  readonly width: number
  readonly grouping: string
  readonly precision: number | null
  readonly kind: string
}

/** Python's `format(value, spec)`. */
function formatValue(value: Value, spec: string, budget: Budget): string {
  if (spec === '') return toText(value, budget)
  const isText = textOf(value) !== null
  const number = isText ? null : numberOf(value)
  if (!isText && number === null)
    throw new JinjaError(`unsupported format string passed to ${typeName(value)}.__format__`)
  const parsed = parseSpec(spec, isText)
  if (isText) checkTextSpec(spec, parsed)
  if (isText) return alignText(cutText(toText(value, budget), parsed), parsed)
  return formatNumber(value, number!, parsed)
}

function parseSpec(spec: string, isText: boolean): Spec {
  const match = specPattern.exec(spec)
  if (match === null) throw new JinjaError(`Invalid format specifier '${spec}'`)
  const [, fill, align, sign = '', , prefix, zero, width = '0', grouping = '', precision, kind = ''] = match
  if (Number(width) > maxWidth || Number(precision ?? 0) > maxWidth)
    throw new JinjaError(`a width or precision in '${spec}' is not allowed; at most ${maxWidth}`)
  return {
    fill: fill ?? (zero === undefined ? ' ' : '0'),
    align: align ?? (isText ? '<' : zero === undefined ? '>' : '='),
    sign,
    hasPrefix: prefix !== undefined,
    width: Number(width),
    grouping,
    precision: precision === undefined ? null : Number(precision),
    kind,
  }
}

function checkTextSpec(spec: string, { sign, align, grouping, hasPrefix }: Spec): void {
  const wrong =
    grouping !== ''
      ? `Cannot specify '${grouping}' with 's'.`
      : sign !== ''
        ? 'Sign not allowed in string format specifier'
        : hasPrefix
          ? 'Alternate form (#) not allowed in string format specifier'
          : align === '='
            ? "'=' alignment not allowed in string format specifier"
            : null
  if (wrong !== null) throw new JinjaError(`${wrong} (${spec})`)
}

function cutText(text: string, { kind, precision }: Spec): string {
  if (kind !== '' && kind !== 's') throw new JinjaError(`Unknown format code '${kind}' for object of type 'str'`)
  return precision === null ? text : Array.from(text).slice(0, precision).join('')
}

function formatNumber(value: Value, number: number | bigint, spec: Spec): string {
  const isInteger = !(value instanceof PyFloat)
  const isIntegerKind = isInteger && (spec.kind === '' || 'bcdoxXn'.includes(spec.kind))
  const body = isIntegerKind ? integerBody(value, number, spec) : floatBody(Number(number), spec)
  const isNegative = body.startsWith('-')
  const digits = isNegative ? body.slice(1) : body
  const grouped = spec.grouping === '' ? digits : groupDigits(digits, spec)
  const sign = isNegative ? '-' : spec.sign === '-' ? '' : spec.sign
  return alignText(grouped, spec, sign)
}

const radixes: Readonly<Record<string, number>> = { b: 2, o: 8, x: 16, X: 16 }

function integerBody(value: Value, number: number | bigint, { kind, hasPrefix, precision }: Spec): string {
  if (precision !== null) throw new JinjaError('Precision not allowed in integer format specifier')
  if (kind === '' && typeof value === 'boolean') return value ? '1' : '0'
  if (kind === 'c') return String.fromCodePoint(Number(number))
  const radix = radixes[kind]
  if (radix === undefined) return integerText(number)
  const text = number.toString(radix).replace(/^-?/, (sign) => sign + (hasPrefix ? `0${kind.toLowerCase()}` : ''))
  return kind === 'X' ? text.toUpperCase() : text
}

function floatBody(value: number, { kind, precision, hasPrefix }: Spec): string {
  const digits = precision ?? 6
  switch (kind) {
    case '':
      return precision === null ? floatText(value) : shortFloat(value, precision)
    case 'f':
    case 'F':
      return fixedText(value, digits)
    case 'e':
      return exponentialText(value, digits)
    case 'E':
      return exponentialText(value, digits).toUpperCase()
    case 'g':
    case 'n':
      return generalText(value, digits, hasPrefix)
    case 'G':
      return generalText(value, digits, hasPrefix).toUpperCase()
    case '%':
      return `${fixedText(value * 100, digits)}%`
    default:
      throw new JinjaError(`Unknown format code '${kind}' for object of type 'float'`)
  }
}

/** As `g`, but with a digit after the point. */
function shortFloat(value: number, precision: number): string {
  const text = generalText(value, precision)
  return /^-?\d+$/.test(text) ? `${text}.0` : text
}

function groupDigits(text: string, { grouping, kind }: Spec): string {
  const [whole = '', ...rest] = text.split(/(?=[.e%])/)
  const size = 'bxXo'.includes(kind) && kind !== '' ? 4 : 3
  return whole.replace(new RegExp(`\\B(?=(?:\\w{${size}})+$)`, 'g'), grouping) + rest.join('')
}

function alignText(text: string, { fill, align, width }: Spec, sign = ''): string {
  const missing = width - lengthOf(text) - sign.length
  if (missing <= 0) return sign + text
  switch (align) {
    case '<':
      return sign + text + fill.repeat(missing)
    case '^':
      return fill.repeat(missing >> 1) + sign + text + fill.repeat(missing - (missing >> 1))
    case '=':
      return sign + fill.repeat(missing) + text
    default:
      return fill.repeat(missing) + sign + text
  }
}
