import { listOf, numberOf } from './compare.ts'
import type { Given } from './arguments.ts'
import type { Budget } from './budget.ts'
import { type Filter, filter, type Runtime } from './filter.ts'
import { JinjaError } from './jinja-error.ts'
import { writeJson } from './json-text.ts'
import { lengthOfValue } from './list-filters.ts'
import { capitalizeText } from './letter-case.ts'
import { fixedText, parseFloatText } from './number-text.ts'
import { formatPercent } from './percent-format.ts'
import { prettyPrint } from './pretty-print.ts'
import { repr, toText } from './printing.ts'
import { replaceCounted, stringMethods } from './string-methods.ts'
import { escapeHtml, stripTags } from './html.ts'
import { charsOf, lengthOf, spaceClass, splitLines, stripText } from './text.ts'
import { mapSlices, slicesOf } from './text-slices.ts'
import { urlize } from './urlize.ts'
import { type CallArguments, Dict, Markup, textOf, Tuple, typeName, Undefined, type Value } from './values.ts'
import { wrapWords } from './word-wrap.ts'

/** The text of a value, whatever it is, as most filters on texts take it. Marked text stays marked. */
function onText(signature: string, run: (text: string, budget: Budget) => string): Filter {
  return filter(signature, (value, _given, { budget }) => {
    const text = run(toText(value, budget), budget)
    budget.text(text.length)
    return value instanceof Markup ? new Markup(text) : text
  })
}

const wordEnd = new RegExp(`[-${spaceClass}({\\[<]$`)
const word = new RegExp(`[^-${spaceClass}({\\[<]+`, 'g')

/** Words begin at white space and opening brackets. */
function titleWords(text: string, before: string): string {
  const isInside = before !== '' && !wordEnd.test(before)
  return text.replace(word, (letters: string, at: number) => {
    if (at === 0 && isInside) return letters.toLowerCase()
    const first = String.fromCodePoint(letters.codePointAt(0)!)
    return first.toUpperCase() + letters.slice(first.length).toLowerCase()
  })
}

function countWords(text: string, budget: Budget): number {
  let count = 0
  let isInside = false
  for (const slice of slicesOf(text, budget)) {
    const words = slice.match(/[\p{L}\p{N}_]+/gu) ?? []
    const continues = isInside && /^[\p{L}\p{N}_]/u.test(slice)
    count += words.length - Number(continues)
    isInside = words.length > 0 && slice.endsWith(words.at(-1)!)
  }
  return count
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
  const isMarkup = value instanceof Markup
  const formatted = formatPercent(toText(value, budget), kwargs.size > 0 ? mapping : new Tuple(args), {
    budget,
    isMarkup,
  })
  return isMarkup ? new Markup(formatted) : formatted
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

/** The number of bytes, from a text too. */
function byteCount(value: Value): number {
  const text = textOf(value)
  const number = text === null ? numberOf(value) : parseFloatText(stripText(text, 'both'))
  if (number === null) throw new JinjaError(`filesizeformat() expects a number, got '${typeName(value)}'`)
  return Number(number)
}

function indent(text: string, [prefix, indentsFirst, indentsBlank]: readonly [string, boolean, boolean]): string {
  const lines = splitLines(`${text}\n`, false)
  const [first = '', ...rest] = lines
  const shown = indentsBlank
    ? rest.map((line) => prefix + line)
    : rest.map((line) => (line === '' ? '' : prefix + line))
  return [(indentsFirst ? prefix : '') + first, ...shown].join('\n')
}

/** What is short enough stays what it is, be it a list. */
function truncate(value: Value, given: Given, runtime: Runtime): Value {
  const [length, leeway] = [given.integer(0, 255), given.integerOrNull(3) ?? 5]
  const end = given.has(2) ? given.text(2) : '...'
  if (length < lengthOf(end)) throw new JinjaError(`expected length >= ${lengthOf(end)}, got ${length}`)
  if (leeway < 0) throw new JinjaError(`expected leeway >= 0, got ${leeway}`)
  const text = textOf(value)
  if (text === null) {
    if (lengthOfValue(value, runtime) <= length + leeway) return value
    return given.fail('a text', value)
  }
  runtime.budget.read(text.length)
  if (lengthOf(text) <= length + leeway) return value
  const cut = charsOf(text).slice(0, length - lengthOf(end))
  const whole = typeof cut === 'string' ? cut : cut.join('')
  const space = given.isTrue(1) ? -1 : whole.lastIndexOf(' ')
  const kept = space === -1 ? whole : whole.slice(0, space)
  if (!(value instanceof Markup)) return kept + end
  return new Markup(kept + (given.at(2) instanceof Markup ? end : escapeHtml(end)))
}

function urlQuote(text: string, isQuery: boolean): string {
  const quoted = encodeURIComponent(text.toWellFormed()).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return isQuery ? quoted.replaceAll('%20', '+') : quoted.replaceAll('%2F', '/')
}

function urlEncode(value: Value, { budget }: Runtime): string {
  const isPairs = textOf(value) === null && numberOf(value) === null && value !== null
  if (!isPairs) return quoteBounded(value, false, budget)
  const pairs =
    value instanceof Dict ? [...value.entries.values()] : listOf(value, budget).map((item) => listOf(item, budget))
  const wrong = pairs.find((pair) => pair.length !== 2)
  if (wrong !== undefined) throw new JinjaError(`2 values are expected to unpack, got ${wrong.length}`)
  return pairs.map((pair) => pair.map((part) => quoteBounded(part, true, budget)).join('=')).join('&')
}

function quoteBounded(value: Value, isQuery: boolean, budget: Budget): string {
  const quoted = mapSlices(toText(value, budget), budget, (slice) => urlQuote(slice, isQuery))
  budget.text(quoted.length)
  return quoted
}

function xmlAttributes(value: Value, hasSpace: boolean, { budget }: Runtime): string {
  if (!(value instanceof Dict)) throw new JinjaError(`xmlattr expects a dict, got '${typeName(value)}'`)
  const attributes: string[] = []
  for (const [key, item] of value.entries.values()) {
    if (item === null || item instanceof Undefined) continue
    const name = textOf(key)
    if (name === null) throw new JinjaError(`xmlattr expects texts as keys, got '${typeName(key)}'`)
    if (new RegExp(`[${spaceClass}/>=]`).test(name))
      throw new JinjaError(`Invalid character in attribute name: ${repr(key, budget)}`)
    attributes.push(`${escapeHtml(name)}="${item instanceof Markup ? item.text : escapeHtml(toText(item, budget))}"`)
  }
  const text = attributes.join(' ')
  return hasSpace && text !== '' ? ` ${text}` : text
}

/** With autoescape, what is put in for or into marked text is escaped. */
function replace(value: Value, given: Given, { budget, isEscaping }: Runtime): Value {
  const [old, replacement] = [given.at(0), given.at(1)]
  const limit = given.integerOrNull(2) ?? -1
  const parts = [toText(old, budget), toText(replacement, budget), limit] as const
  if (!isEscaping) return replaceCounted(toText(value, budget), parts, budget)
  const isEscaped = old instanceof Markup || (replacement instanceof Markup && !(value instanceof Markup))
  if (!isEscaped && !(value instanceof Markup)) return replaceCounted(toText(value, budget), parts, budget)
  const text = value instanceof Markup ? value.text : escapeHtml(toText(value, budget))
  budget.text(text.length)
  const [, added] = parts
  const marked = replacement instanceof Markup ? added : escapeHtml(added)
  return new Markup(replaceCounted(text, [parts[0], marked, limit], budget))
}

function wordWrap(value: Value, given: Given, { budget }: Runtime): Value {
  const text = textOf(value) ?? given.fail('a text', value)
  const isOn = (index: number): boolean => !given.has(index) || given.isTrue(index)
  const separator = given.textOrNull(2) ?? '\n'
  return wrapWords(
    text,
    // As Python has it, hyphens count only where the argument is no other true value.
    { width: given.integer(0, 79), breaksLongWords: isOn(1), breaksOnHyphens: isOn(3), separator },
    budget,
  )
}

const uriScheme = /^[\p{L}\p{N}_.+-]{2,}:\/{0,2}$/u

function linkUrls(value: Value, given: Given, { budget, isEscaping }: Runtime): Value {
  const text = value instanceof Markup ? value.text : escapeHtml(toText(value, budget))
  budget.text(text.length)
  const words = (given.textOrNull(3) ?? '').split(' ').filter((word) => word !== '')
  const rel = new Set([...words, ...(given.isTrue(1) ? ['nofollow'] : []), 'noopener'])
  const schemes = given.at(4) === null ? [] : listOf(given.at(4), budget).map((scheme) => textOf(scheme) ?? '')
  const wrong = schemes.find((scheme) => !uriScheme.test(scheme))
  if (wrong !== undefined) throw new JinjaError(`'${wrong}' is not a valid URI scheme prefix.`)
  const linked = urlize(
    text,
    {
      limit: () => given.integerOrNull(0),
      rel: [...rel].toSorted().join(' '),
      target: given.textOrNull(2) ?? '',
      extraSchemes: schemes,
    },
    budget,
  )
  return isEscaping ? new Markup(linked) : linked
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
    return fileSize(byteCount(value), given.isTrue(0))
  }),
  forceescape: filter('forceescape()', (value, _given, { budget }) => new Markup(escapeHtml(toText(value, budget)))),
  format,
  indent: filter('indent(; width, first, blank)', (value, given, { budget }) => {
    const text = textOf(value) ?? given.fail('a text', value)
    const width = given.at(0)
    const prefix = textOf(width) ?? ' '.repeat(Math.min(65_536, Math.max(0, given.integer(0, 4))))
    const numLines = text.split('\n').length
    budget.text(text.length + numLines * prefix.length)
    const indented = indent(text, [prefix, given.isTrue(1), given.isTrue(2)])
    return value instanceof Markup ? new Markup(indented) : indented
  }),
  lower: onText('lower()', (text) => text.toLowerCase()),
  pprint: filter('pprint()', (value, _given, { budget }) => prettyPrint(value, budget)),
  replace: filter('replace(old, new; count)', replace),
  safe: filter('safe()', (value, _given, { budget }) => new Markup(toText(value, budget))),
  string: filter('string()', (value, _given, { budget }) => (value instanceof Markup ? value : toText(value, budget))),
  striptags: filter('striptags()', (value, _given, { budget }) => stripTags(toText(value, budget))),
  title: onText('title()', (text, budget) => mapSlices(text, budget, titleWords)),
  tojson: filter('tojson(; ensure_ascii, indent, separators, sort_keys)', (value, given, runtime) =>
    toJson(value, [given.at(0), given.at(1), given.at(2), given.at(3)], runtime),
  ),
  trim: filter('trim(; chars)', (value, given, { budget }) => {
    const text = stripText(toText(value, budget), 'both', given.textOrNull(0))
    return value instanceof Markup ? new Markup(text) : text
  }),
  truncate: filter('truncate(; length, killwords, end, leeway)', truncate),
  upper: onText('upper()', (text) => text.toUpperCase()),
  urlencode: filter('urlencode()', (value, _given, runtime) => urlEncode(value, runtime)),
  urlize: filter('urlize(; trim_url_limit, nofollow, target, rel, extra_schemes)', linkUrls),
  wordcount: filter('wordcount()', (value, _given, { budget }) => countWords(toText(value, budget), budget)),
  wordwrap: filter('wordwrap(; width, break_long_words, wrapstring, break_on_hyphens)', wordWrap),
  xmlattr: filter('xmlattr(; autospace)', (value, given, runtime) => {
    const text = xmlAttributes(value, !given.has(0) || given.isTrue(0), runtime)
    return runtime.isEscaping ? new Markup(text) : text
  }),
}
