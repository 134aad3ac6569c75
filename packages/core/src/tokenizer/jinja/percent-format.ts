import type { Budget } from './budget.ts'
import { numberOf, toKey } from './compare.ts'
import { escapeHtml } from './html.ts'
import { JinjaError } from './jinja-error.ts'
import { exponentialText, fixedText, generalText } from './number-text.ts'
import { integerText, repr, toText } from './printing.ts'
import { lengthOf } from './text.ts'
import { Dict, Markup, PyFloat, Range, Tuple, typeName, Undefined, type Value } from './values.ts'

const directive = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?([^])/gu

/** A hole's width or precision; larger ones would only make blanks. */
const maxWidth = 65_536

interface PercentOptions {
  readonly budget: Budget
  /** The text is marked: what is put in is escaped. */
  readonly isMarkup: boolean
}

/** Python's `text % values`. */
export function formatPercent(text: string, values: Value, { budget, isMarkup }: PercentOptions): string {
  const isMapping = isSubscriptable(values)
  const queue = values instanceof Tuple ? values.items : [values]
  let numUsed = 0
  const take = (): Value => {
    const value = queue[numUsed++]
    if (value === undefined) throw new JinjaError('not enough arguments for format string')
    return value
  }
  const pieces: string[] = []
  let end = 0
  for (const match of text.matchAll(directive)) {
    const [whole, name, flags = '', width, precision, kind = ''] = match
    pieces.push(text.slice(end, match.index))
    end = match.index + whole.length
    if (kind === '%') {
      if (whole !== '%%') throw new JinjaError("unsupported format character '%'")
      pieces.push('%')
      continue
    }
    const hasPoint = whole.includes('.')
    const size = (given: string | undefined): number | null =>
      given === undefined ? null : bounded(given === '*' ? Number(numberOf(take()) ?? Number.NaN) : Number(given))
    const holeWidth = size(width)
    const holePrecision = size(precision) ?? (hasPoint ? 0 : null)
    const value = name === undefined ? take() : memberOf(values, name, budget)
    const hole = {
      kind,
      flags,
      width: holeWidth,
      precision: holePrecision,
      escapes: isMarkup && !(value instanceof Markup),
    }
    const piece = formatHole(hole, value, budget)
    budget.text(piece.length)
    pieces.push(piece)
  }
  const rest = text.slice(end)
  if (rest.includes('%')) throw new JinjaError('incomplete format')
  // Whatever has items could have been used by name.
  if (numUsed < queue.length && !isMapping) throw new JinjaError('not all arguments converted during string formatting')
  pieces.push(rest)
  return pieces.join('')
}

function isSubscriptable(value: Value): boolean {
  return value instanceof Dict || Array.isArray(value) || value instanceof Range || value instanceof Undefined
}

function memberOf(values: Value, name: string, budget: Budget): Value {
  if (!(values instanceof Dict)) throw new JinjaError('format requires a mapping')
  const value = values.entries.get(toKey(name, budget))?.[1]
  if (value === undefined) throw new JinjaError(`there is no value '${name}' to format`)
  return value
}

function bounded(size: number): number {
  if (!Number.isInteger(size) || Math.abs(size) > maxWidth)
    throw new JinjaError(`a width or precision of ${size} is not allowed; at most ${maxWidth}`)
  return size
}

interface Hole {
  readonly kind: string
  readonly flags: string
  readonly width: number | null
  readonly precision: number | null
  /** What is put into marked text is escaped. */
  readonly escapes: boolean
}

function formatHole(hole: Hole, value: Value, budget: Budget): string {
  const { kind, flags, precision } = hole
  const width = Math.abs(hole.width ?? 0)
  const isLeft = flags.includes('-') || (hole.width ?? 0) < 0
  const text = holeText(hole, value, budget)
  const isNumeric = !'sracd'.includes(kind) || kind === 'd'
  const shown = isNumeric && !text.startsWith('-') ? signOf(flags) + text : text
  const missing = width - lengthOf(shown)
  if (missing <= 0) return shown
  if (isLeft) return shown + ' '.repeat(missing)
  if (!flags.includes('0') || !isNumeric || (precision !== null && 'di'.includes(kind)))
    return ' '.repeat(missing) + shown
  const [, sign = '', digits = ''] = /^([-+ ]?(?:0[xX])?)(.*)$/.exec(shown) ?? []
  return sign + '0'.repeat(missing) + digits
}

function signOf(flags: string): string {
  return flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
}

function holeText({ kind, flags, precision, escapes }: Hole, value: Value, budget: Budget): string {
  const cut = (given: string): string => {
    const text = escapes ? escapeHtml(given) : given
    return precision === null ? text : Array.from(text).slice(0, precision).join('')
  }
  switch (kind) {
    case 's':
      return cut(toText(value, budget))
    case 'r':
      return cut(repr(value, budget))
    case 'a':
      return cut(asciiText(repr(value, budget)))
    case 'c':
      return charText(value)
    case 'd':
    case 'i':
    case 'u':
      return padDigits(integerText(wholeNumber(value, kind)), precision)
    case 'x':
    case 'X':
    case 'o': {
      const text = padDigits(strictInteger(value, kind).toString(kind === 'o' ? 8 : 16), precision)
      const prefixed = flags.includes('#') ? text.replace(/^-?/, (sign) => `${sign}0${kind === 'o' ? 'o' : 'x'}`) : text
      return kind === 'X' ? prefixed.toUpperCase() : prefixed
    }
    default:
      return floatHole({ kind, flags, precision }, value)
  }
}

function floatHole({ kind, flags, precision }: Pick<Hole, 'kind' | 'flags' | 'precision'>, value: Value): string {
  const number = value instanceof Undefined ? value.fail() : numberOf(value)
  if (number === null) throw new JinjaError(`must be real number, not ${typeName(value)}`)
  const float = Number(number)
  const digits = precision ?? 6
  const text = ((): string => {
    switch (kind.toLowerCase()) {
      case 'f':
        return fixedText(float, digits)
      case 'e':
        return exponentialText(float, digits)
      case 'g':
        return generalText(float, digits, flags.includes('#'))
      default:
        throw new JinjaError(`unsupported format character '${kind}'`)
    }
  })()
  return kind === kind.toLowerCase() ? text : text.toUpperCase()
}

function wholeNumber(value: Value, kind: string): number | bigint {
  if (value instanceof Undefined) return value.fail()
  const number = numberOf(value)
  if (number === null) throw new JinjaError(`%${kind} format: a real number is required, not ${typeName(value)}`)
  if (!(value instanceof PyFloat)) return number
  if (!Number.isFinite(value.value)) throw new JinjaError('cannot convert an infinite or missing number to an integer')
  return BigInt(Math.trunc(value.value))
}

function strictInteger(value: Value, kind: string): number | bigint {
  const number = value instanceof PyFloat ? null : numberOf(value)
  if (number === null) throw new JinjaError(`%${kind} format: an integer is required, not ${typeName(value)}`)
  return number
}

function padDigits(text: string, precision: number | null): string {
  if (precision === null) return text
  return text.startsWith('-') ? `-${text.slice(1).padStart(precision, '0')}` : text.padStart(precision, '0')
}

function charText(value: Value): string {
  if (typeof value === 'string' && lengthOf(value) === 1) return value
  if (value instanceof Markup && lengthOf(value.text) === 1) return value.text
  const code = Number(numberOf(value) ?? -1)
  if (!Number.isInteger(code) || code < 0 || code > 0x10ffff) throw new JinjaError('%c requires int or char')
  return String.fromCodePoint(code)
}

/** `ascii(value)`, from its `repr`. */
export function asciiText(text: string): string {
  return text.replace(/[^\0-\x7f]/gu, (char) => {
    const code = char.codePointAt(0)!
    if (code < 0x100) return `\\x${code.toString(16)}`
    return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`
  })
}
