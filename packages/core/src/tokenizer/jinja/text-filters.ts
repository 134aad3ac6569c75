import { listOf, numberOf } from './compare.ts'
import { type Filter, filter, type Runtime } from './filter.ts'
import { JinjaError } from './jinja-error.ts'
import { writeJson } from './json-text.ts'
import { fixedText } from './number-text.ts'
import { formatPercent } from './percent-format.ts'
import { repr, toText } from './printing.ts'
import { replaceCounted, stringMethods } from './string-methods.ts'
import { capitalizeText, escapeHtml, lengthOf, spaceClass, splitLines, stripText } from './text.ts'
import { type CallArguments, Dict, Markup, textOf, Tuple, typeName, Undefined, type Value } from './values.ts'

/** The text of a value, whatever it is, as most filters on texts take it. Marked text stays marked. */
function onText(signature: string, run: (text: string) => string): Filter {
  return filter(signature, (value, _given, { budget }) => {
    const text = run(toText(value, budget))
    budget.text(text.length)
    return value instanceof Markup ? new Markup(text) : text
  })
}

const wordStart = new RegExp(`([-${spaceClass}({\\[<]+)`)

function titleWords(text: string): string {
  return text
    .split(wordStart)
    .map((word) => capitalizeText(word))
    .join('')
}

function escape(value: Value, { budget }: Runtime): Markup {
  if (value instanceof Markup) return value
  const text = escapeHtml(toText(value, budget))
  budget.text(text.length)
  return new Markup(text)
}

function format(value: Value, { args, kwargs }: CallArguments, { budget }: Runtime): Value {
  if (args.length > 0 && kwargs.size > 0)
    throw new JinjaError("can't handle positional and keyword arguments at the same time")
  const mapping = new Dict()
  for (const [key, item] of kwargs) mapping.setText(key, item)
  return formatPercent(toText(value, budget), kwargs.size > 0 ? mapping : new Tuple(args), budget)
}

function fileSize(bytes: number, isBinary: boolean): string {
  const base = isBinary ? 1024 : 1000
  if (bytes === 1) return '1 Byte'
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`
  const units = isBinary
    ? ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB']
    : ['kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB']
  const power = Math.min(units.length, units.findIndex((_, index) => bytes < base ** (index + 2)) + 1 || units.length)
  return `${fixedText((base * bytes) / base ** (power + 1), 1)} ${units[power - 1]!}`
}

function indent(text: string, [prefix, indentsFirst, indentsBlank]: readonly [string, boolean, boolean]): string {
  const lines = splitLines(`${text}\n`, false)
  const [first = '', ...rest] = lines
  const shown = indentsBlank
    ? rest.map((line) => prefix + line)
    : rest.map((line) => (line === '' ? '' : prefix + line))
  return [(indentsFirst ? prefix : '') + first, ...shown].join('\n')
}

function truncate(text: string, [length, killsWords, end, leeway]: readonly [number, boolean, string, number]): string {
  const chars = Array.from(text)
  if (length < lengthOf(end)) throw new JinjaError(`expected length >= ${lengthOf(end)}, got ${length}`)
  if (chars.length <= length + leeway) return text
  const cut = chars.slice(0, length - lengthOf(end)).join('')
  if (killsWords) return cut + end
  const space = cut.lastIndexOf(' ')
  return (space === -1 ? cut : cut.slice(0, space)) + end
}

function urlQuote(text: string, isQuery: boolean): string {
  let out = ''
  for (const byte of new TextEncoder().encode(text)) {
    const char = String.fromCharCode(byte)
    if (/[A-Za-z0-9_.~-]/.test(char) || (char === '/' && !isQuery)) out += char
    else out += char === ' ' && isQuery ? '+' : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return out
}

function urlEncode(value: Value, { budget }: Runtime): string {
  const isPairs = textOf(value) === null && numberOf(value) === null && value !== null
  if (!isPairs) return urlQuote(toText(value, budget), false)
  const pairs =
    value instanceof Dict ? [...value.entries.values()] : listOf(value, budget).map((item) => listOf(item, budget))
  return pairs.map((pair) => pair.map((part) => urlQuote(toText(part, budget), true)).join('=')).join('&')
}

function xmlAttributes(value: Value, hasSpace: boolean, { budget }: Runtime): string {
  if (!(value instanceof Dict)) throw new JinjaError(`xmlattr expects a dict, got '${typeName(value)}'`)
  const attributes: string[] = []
  for (const [key, item] of value.entries.values()) {
    if (item === null || item instanceof Undefined) continue
    const name = toText(key, budget)
    if (new RegExp(`[${spaceClass}/>=]`).test(name))
      throw new JinjaError(`Invalid character in attribute name: ${repr(key, budget)}`)
    attributes.push(`${escapeHtml(name)}="${item instanceof Markup ? item.text : escapeHtml(toText(item, budget))}"`)
  }
  const text = attributes.join(' ')
  return hasSpace && text !== '' ? ` ${text}` : text
}

function stripTags(text: string): string {
  const bare = stripBetween(stripBetween(text, '<!--', '-->'), '<', '>')
  const words = bare.split(new RegExp(`[${spaceClass}]+`))
  return unescapeHtml(words.filter((word) => word !== '').join(' '))
}

function stripBetween(text: string, open: string, close: string): string {
  let out = ''
  let position = 0
  for (let start = text.indexOf(open); start !== -1; start = text.indexOf(open, position)) {
    const end = text.indexOf(close, start)
    if (end === -1) break
    out += text.slice(position, start)
    position = end + close.length
  }
  return out + text.slice(position)
}

const entities: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  '#34': '"',
  '#39': "'",
  nbsp: '\u00a0',
}

function unescapeHtml(text: string): string {
  return text.replace(/&(#?\w+);/g, (whole, name: string) => entities[name] ?? whole)
}

function toJson(value: Value, options: readonly [Value, Value, Value, Value], { budget }: Runtime): string {
  const [isAscii, indentation, separators, sorts] = options
  return writeJson(value, { isAscii, indentation, separators, sorts }, budget)
}

/** Filters whose value is taken as text. */
export const textFilters: Readonly<Record<string, Filter>> = {
  capitalize: onText('capitalize()', capitalizeText),
  center: (value, given, runtime) =>
    stringMethods['center']!.call(
      { text: textOf(value) ?? toText(value, runtime.budget), isMarkup: false, budget: runtime.budget },
      given.args.length + given.kwargs.size === 0 ? { args: [80], kwargs: given.kwargs } : given,
    ),
  e: filter('e()', (value, _given, runtime) => escape(value, runtime)),
  escape: filter('escape()', (value, _given, runtime) => escape(value, runtime)),
  filesizeformat: filter('filesizeformat(; binary)', (value, given) => {
    const bytes = numberOf(value) ?? Number(textOf(value) ?? Number.NaN)
    return fileSize(Number(bytes), given.isTrue(0))
  }),
  forceescape: filter('forceescape()', (value, _given, { budget }) => new Markup(escapeHtml(toText(value, budget)))),
  format,
  indent: filter('indent(; width, first, blank)', (value, given, { budget }) => {
    const text = toText(value, budget)
    const width = given.at(0)
    const prefix = textOf(width) ?? ' '.repeat(Math.min(65_536, Math.max(0, given.integer(0, 4))))
    const numLines = text.split('\n').length
    budget.text(text.length + numLines * prefix.length)
    return indent(text, [prefix, given.isTrue(1), given.isTrue(2)])
  }),
  lower: onText('lower()', (text) => text.toLowerCase()),
  replace: filter('replace(old, new; count)', (value, given, { budget }) => {
    const [old, replacement] = [toText(given.at(0), budget), toText(given.at(1), budget)]
    return replaceCounted(toText(value, budget), [old, replacement, given.integerOrNull(2) ?? -1], budget)
  }),
  safe: filter('safe()', (value, _given, { budget }) => new Markup(toText(value, budget))),
  string: filter('string()', (value, _given, { budget }) => (value instanceof Markup ? value : toText(value, budget))),
  striptags: filter('striptags()', (value, _given, { budget }) => stripTags(toText(value, budget))),
  title: onText('title()', titleWords),
  tojson: filter('tojson(; ensure_ascii, indent, separators, sort_keys)', (value, given, runtime) =>
    toJson(value, [given.at(0), given.at(1), given.at(2), given.at(3)], runtime),
  ),
  trim: filter('trim(; chars)', (value, given, { budget }) => {
    const text = stripText(toText(value, budget), 'both', given.textOrNull(0))
    return value instanceof Markup ? new Markup(text) : text
  }),
  truncate: filter('truncate(; length, killwords, end, leeway)', (value, given) => {
    const text = textOf(value) ?? given.fail('a text', value)
    return truncate(text, [
      given.integer(0, 255),
      given.isTrue(1),
      given.has(2) ? given.text(2) : '...',
      given.integerOrNull(3) ?? 5,
    ])
  }),
  upper: onText('upper()', (text) => text.toUpperCase()),
  urlencode: filter('urlencode()', (value, _given, runtime) => urlEncode(value, runtime)),
  wordcount: filter('wordcount()', (value, _given, { budget }) => {
    return toText(value, budget).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0
  }),
  xmlattr: filter('xmlattr(; autospace)', (value, given, runtime) =>
    xmlAttributes(value, !given.has(0) || given.isTrue(0), runtime),
  ),
}
