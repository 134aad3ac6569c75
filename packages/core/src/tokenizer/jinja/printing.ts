import { type Budget, TextWriter } from './budget.ts'
import { JinjaError } from './jinja-error.ts'
import { floatText } from './number-text.ts'
import { mapSlices } from './text-slices.ts'
import {
  Callable,
  Dict,
  DictView,
  Generator,
  Markup,
  Namespace,
  PyFloat,
  Range,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values.ts'

/** Python prints no integers beyond this many digits. */
const maxDigits = 4300

/** Python's `str(value)`. */
export function toText(value: Value, budget: Budget): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return repr(value, budget)
}

/** Python's `repr(value)`. */
export function repr(value: Value, budget: Budget): string {
  const writer = new TextWriter(budget)
  writeRepr(value, { writer, budget, depth: 0 })
  return writer.text
}

interface Writing {
  readonly writer: TextWriter
  readonly budget: Budget
  readonly depth: number
}

function writeRepr(value: Value, writing: Writing): void {
  const { writer, budget, depth } = writing
  budget.step()
  budget.depth(depth)
  if (Array.isArray(value)) writeItems(value, writing, ['[', ']'])
  else if (value instanceof Dict) writeDict(value, writing)
  else if (value instanceof Tuple) writeItems(value.items, writing, ['(', value.items.length === 1 ? ',)' : ')'])
  else if (value instanceof DictView) writeItems(value, writing, [`dict_${value.kind}([`, '])'])
  else if (value instanceof Namespace) {
    writer.write('<Namespace ')
    writeDict(value.attributes, { ...writing, depth: depth + 1 })
    writer.write('>')
  } else writer.write(scalarRepr(value, budget))
}

function writeItems(items: Iterable<Value>, writing: Writing, [open, close]: readonly [string, string]): void {
  const { writer, depth } = writing
  const inner = { ...writing, depth: depth + 1 }
  writer.write(open)
  let isFirst = true
  for (const item of items) {
    if (!isFirst) writer.write(', ')
    isFirst = false
    writeRepr(item, inner)
  }
  writer.write(close)
}

function writeDict(dict: Dict, writing: Writing): void {
  const { writer, depth } = writing
  const inner = { ...writing, depth: depth + 1 }
  writer.write('{')
  let isFirst = true
  for (const [key, value] of dict.entries.values()) {
    if (!isFirst) writer.write(', ')
    isFirst = false
    writeRepr(key, inner)
    writer.write(': ')
    writeRepr(value, inner)
  }
  writer.write('}')
}

function scalarRepr(value: Value, budget: Budget): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'string') return quoteText(value, budget)
  if (typeof value === 'number' || typeof value === 'bigint') return integerText(value)
  if (value instanceof PyFloat) return floatText(value.value)
  if (value instanceof Markup) return `Markup(${quoteText(value.text, budget)})`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Range) return `range(${value.start}, ${value.stop}${value.step === 1 ? '' : `, ${value.step}`})`
  if (value instanceof Generator) return '<generator object>'
  if (value instanceof Callable)
    return value.attributes.size > 0 ? `<Macro ${quoteText(value.name, budget)}>` : `<function ${value.name}>`
  return value instanceof TemplateObject ? value.describe() : ''
}

export function integerText(value: number | bigint): string {
  const text = String(value)
  if (text.length > maxDigits) throw new JinjaError(`an integer has more than ${maxDigits} digits`)
  return text
}

const unprintable = /[\\\n\r\t]|[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu
const named: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/** `repr` of a str: single quotes, unless only those occur in it. */
export function quoteText(text: string, budget: Budget): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = mapSlices(text, budget, escapeUnprintable)
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote
}

function escapeUnprintable(text: string): string {
  return text.replace(unprintable, (char) => {
    const escape = named[char]
    if (escape !== undefined) return escape
    const hex = char.codePointAt(0)!.toString(16)
    if (hex.length <= 2) return `\\x${hex.padStart(2, '0')}`
    return hex.length <= 4 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
  })
}
