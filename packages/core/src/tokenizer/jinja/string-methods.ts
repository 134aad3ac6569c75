import { bindArguments, type Given, parseSignature } from './arguments.ts'
import { type Budget, TextWriter } from './budget.ts'
import { iterate, toKey } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { escapeHtml } from './html.ts'
import { capitalizeText, foldCase, isLower, isTitle, isUpper, swapCase, titleText } from './letter-case.ts'
import {
  charsOf,
  isSpace,
  lengthOf,
  spaceClass,
  type Side,
  sliceRange,
  splitLines,
  stripText,
  toCharIndex,
} from './text.ts'
import { mapSlices, slicesOf } from './text-slices.ts'
import { repr, toText } from './printing.ts'
import { type CallArguments, Dict, integerOf, Markup, textOf, Tuple, typeName, type Value } from './values.ts'

interface Subject {
  readonly text: string
  readonly isMarkup: boolean
  readonly budget: Budget
}

interface StringMethod {
  call(subject: Subject, given: CallArguments): Value
}

function method(signature: string, run: (text: string, given: Given, subject: Subject) => Value): StringMethod {
  const spec = parseSignature(signature)
  return { call: (subject, given) => run(subject.text, bindArguments(spec, given), subject) }
}

const strip = (name: string, side: Side): StringMethod =>
  method(`${name}(; chars)`, (text, given) => stripText(text, side, given.textOrNull(0)))

const find = (name: string, isLast: boolean): StringMethod =>
  method(`${name}(sub; start, end)`, (text, given) => {
    const index = findText(text, given, isLast)
    if (index === -1 && name.endsWith('index')) throw new JinjaError('substring not found')
    return index
  })

/** Whether all characters are of a kind. */
const check = (name: string, pattern: RegExp): StringMethod =>
  method(`${name}()`, (text, _given, { budget }) => {
    if (text === '') return pattern.test('')
    for (const slice of slicesOf(text, budget)) if (!pattern.test(slice)) return false
    return true
  })

/** Changed character by character, or word by word. */
const changed = (name: string, change: (text: string, before: string) => string): StringMethod =>
  method(`${name}()`, (text, _given, { budget }) => mapSlices(text, budget, change))

const cased = (name: string, holds: (text: string) => boolean): StringMethod => method(`${name}()`, holds)

const pad = (name: string, place: (missing: number, width: number) => number): StringMethod =>
  method(`${name}(width; fill)`, (text, given, { budget }) => {
    const fill = given.textOrNull(1) ?? ' '
    if (lengthOf(fill) !== 1) throw new JinjaError('The fill character must be exactly one character long')
    const width = given.integer(0, 0)
    const missing = width - lengthOf(text)
    if (missing <= 0) return text
    budget.text(width)
    const left = place(missing, width)
    return fill.repeat(left) + text + fill.repeat(missing - left)
  })

const affix = (name: string, has: (text: string, part: string) => boolean): StringMethod =>
  method(`${name}(affix; start, end)`, (text, given) => {
    const affixes = given.at(0)
    const [start, end] = given.has(1) || given.has(2) ? bounds(text, given) : [0, text.length]
    if (start > text.length) return false
    const part = text.slice(start, Math.max(start, end))
    const options = affixes instanceof Tuple ? affixes.items : [affixes]
    return options.some((option) => has(part, textOf(option) ?? given.fail('a text or a tuple of texts', option)))
  })

/** Start and end in UTF-16 units from arguments in code points. */
function bounds(text: string, given: Given): [number, number] {
  const chars = charsOf(text)
  const given1 = given.integerOrNull(1)
  const [start, end] = sliceRange([given1, given.integerOrNull(2), 1], chars.length)
  if (given1 !== null && given1 > chars.length) return [text.length + 1, text.length]
  if (typeof chars === 'string') return [start, end]
  return [chars.slice(0, start).join('').length, chars.slice(0, end).join('').length]
}

function findText(text: string, given: Given, isLast: boolean): number {
  const part = given.text(0)
  const [start, end] = bounds(text, given)
  if (end - part.length < start) return -1
  const index = isLast ? text.lastIndexOf(part, end - part.length) : text.indexOf(part, start)
  const isInside = index >= start && index + part.length <= end
  return isInside ? toCharIndex(text, index) : -1
}

function split(text: string, given: Given, isRight: boolean): string[] {
  const separator = given.textOrNull(0)
  const limit = given.integerOrNull(1) ?? -1
  if (separator === '') throw new JinjaError('empty separator')
  if (separator === null) return splitSpaces(text, limit, isRight)
  const parts = text.split(separator)
  if (limit < 0 || parts.length <= limit + 1) return parts
  return isRight
    ? [parts.slice(0, parts.length - limit).join(separator), ...parts.slice(parts.length - limit)]
    : [...parts.slice(0, limit), parts.slice(limit).join(separator)]
}

/** Between runs of white space; the part beyond the limit keeps its far end as it is. */
function splitSpaces(text: string, limit: number, isRight: boolean): string[] {
  const words: string[] = []
  const most = limit < 0 ? Infinity : limit
  let rest = stripText(text, isRight ? 'right' : 'left')
  while (rest !== '') {
    if (words.length >= most) break
    const at = isRight ? lastSpace(rest) : firstSpace(rest)
    if (at === -1) break
    words.push(isRight ? rest.slice(at + 1) : rest.slice(0, at))
    rest = isRight ? stripText(rest.slice(0, at), 'right') : stripText(rest.slice(at), 'left')
  }
  if (rest !== '') words.push(rest)
  return isRight ? words.toReversed() : words
}

const anySpace = new RegExp(`[${spaceClass}]`)

function firstSpace(text: string): number {
  return text.search(anySpace)
}

function lastSpace(text: string): number {
  let at = text.length - 1
  while (at >= 0 && !isSpace(text.charCodeAt(at))) at--
  return at
}

function replaceText(text: string, given: Given, { budget, isMarkup }: Subject): string {
  const [old, replacement] = [given.text(0), markedText(given.at(1), isMarkup) ?? given.text(1)]
  return replaceCounted(text, [old, replacement, given.integer(2, -1)], budget)
}

/** `text.replace(old, new, count)`; a negative count means all. */
export function replaceCounted(
  text: string,
  [old, replacement, limit]: readonly [string, string, number],
  budget: Budget,
): string {
  if (limit === 0) return text
  const chars = old === '' ? Array.from(text) : null
  const numFound = chars === null ? countParts(text, old) : chars.length + 1
  const count = limit < 0 ? numFound : Math.min(limit, numFound)
  budget.text(text.length + count * (replacement.length - old.length))
  if (chars !== null) {
    const pieces = chars.map((char, index) => (index < count ? replacement + char : char))
    return pieces.join('') + (count > chars.length ? replacement : '')
  }
  if (count === numFound) return text.replaceAll(old, () => replacement)
  const parts = text.split(old)
  return parts.slice(0, count + 1).join(replacement) + old + parts.slice(count + 1).join(old)
}

function countParts(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at !== -1; at = text.indexOf(part, at + part.length)) count++
  return count
}

function markedText(value: Value, isMarkup: boolean): string | null {
  if (value instanceof Markup) return value.text
  return isMarkup && typeof value === 'string' ? escapeHtml(value) : null
}

function joinText(separator: string, values: Value, { budget, isMarkup }: Subject): string {
  const texts: string[] = []
  let length = 0
  for (const value of iterate(values)) {
    const text = isMarkup && !(value instanceof Markup) ? escapeHtml(toText(value, budget)) : textOf(value)
    if (text === null)
      throw new JinjaError(`sequence item ${texts.length}: expected str instance, ${typeName(value)} found`)
    budget.step()
    length += text.length + separator.length
    budget.growth(length)
    texts.push(text)
  }
  return texts.join(separator)
}

function partition(text: string, given: Given, isLast: boolean): Tuple {
  const separator = given.text(0)
  if (separator === '') throw new JinjaError('empty separator')
  const index = isLast ? text.lastIndexOf(separator) : text.indexOf(separator)
  if (index === -1) return new Tuple(isLast ? ['', '', text] : [text, '', ''])
  return new Tuple([text.slice(0, index), separator, text.slice(index + separator.length)])
}

function expandTabs(text: string, size: number, budget: Budget): string {
  if (!text.includes('\t')) return text
  const writer = new TextWriter(budget)
  let column = 0
  for (const slice of slicesOf(text, budget)) {
    for (const [part] of slice.matchAll(/\t|[\n\r]+|[^\t\n\r]+/g)) {
      const width = size > 0 ? size - (column % size) : 0
      if (part === '\t') writer.write(' '.repeat(width))
      else writer.write(part)
      column = part === '\t' ? column + width : /[\n\r]/.test(part) ? 0 : column + lengthOf(part)
    }
  }
  return writer.text
}

function zeroFill(text: string, width: number, budget: Budget): string {
  const missing = width - lengthOf(text)
  if (missing <= 0) return text
  budget.text(width)
  const sign = /^[+-]/.exec(text)?.[0] ?? ''
  return sign + '0'.repeat(missing) + text.slice(sign.length)
}

/** `str.maketrans`: a dict from code points. */
function makeTable(given: Given, budget: Budget): Dict {
  const table = new Dict()
  const put = (code: number, value: Value): void => table.put(code, code, value)
  if (!given.has(1)) {
    const source = given.at(0)
    if (!(source instanceof Dict)) throw new JinjaError('if you give only one argument to maketrans it must be a dict')
    for (const [key, value] of source.entries.values()) {
      const char = textOf(key)
      if (char !== null && lengthOf(char) !== 1)
        throw new JinjaError('string keys in translate table must be of length 1')
      if (char !== null) put(char.codePointAt(0)!, value)
      else if (integerOf(key) !== null) table.put(toKey(key, budget), key, value)
      else throw new JinjaError('keys in translate table must be strings or integers')
    }
    return table
  }
  const [from, to] = [Array.from(given.text(0)), Array.from(given.text(1))]
  if (from.length !== to.length) throw new JinjaError('the first two maketrans arguments must have equal length')
  budget.items(from.length)
  for (const [index, char] of from.entries()) put(char.codePointAt(0)!, to[index]!.codePointAt(0)!)
  for (const char of given.has(2) ? given.text(2) : '') put(char.codePointAt(0)!, null)
  return table
}

function translateText(text: string, table: Value, budget: Budget): string {
  const writer = new TextWriter(budget)
  for (const char of text) writer.write(translateChar(char, table, budget))
  return writer.text
}

/** What the table has for a character's code point: none takes it away, a number is another code point. */
function translateChar(char: string, table: Value, budget: Budget): string {
  const code = char.codePointAt(0)!
  const found = lookUp(table, code)
  if (found === undefined) return char
  if (found === null) return ''
  const [text, number] = [textOf(found), integerOf(found)]
  if (text !== null) return text
  if (number === null || typeof found === 'boolean' || number < 0 || number > 0x10ffff)
    throw new JinjaError(`character mapping must return integer, None or str, not ${repr(found, budget)}`)
  return String.fromCodePoint(Number(number))
}

function lookUp(table: Value, code: number): Value | undefined {
  if (table instanceof Dict) return table.entries.get(code)?.[1]
  if (Array.isArray(table)) return table[code]
  if (table instanceof Tuple) return table.items[code]
  const text = textOf(table)
  if (text !== null) return charsOf(text)[code]
  throw new JinjaError(`'${typeName(table)}' object is not subscriptable`)
}

const digit =
  '\\p{Nd}\u00b2\u00b3\u00b9\u1369-\u1371\u19da\u2070\u2074-\u2079\u2080-\u2089\u2460-\u2468\u2474-\u247c\u2488-\u2490\u24ea\u24f5-\u24fd\u24ff\u2776-\u277e\u2780-\u2788\u278a-\u2792\u{10a40}-\u{10a43}\u{10e60}-\u{10e68}\u{11052}-\u{1105a}\u{1f100}-\u{1f10a}'
/** Ideographs that stand for numbers. */
const numeral =
  '\u3405\u3483\u382a\u3b4d\u4e00\u4e03\u4e07\u4e09\u4e5d\u4e8c\u4e94\u4e96\u4ebf\u4ec0\u4edf\u4ee8\u4f0d\u4f70\u5104\u5146\u5169\u516b\u516d\u5341\u5343-\u5345\u534c\u53c1-\u53c4\u56db\u58f1\u58f9\u5e7a\u5efe\u5eff\u5f0c-\u5f0e\u5f10\u62fe\u634c\u67d2\u6f06\u7396\u767e\u8086\u842c\u8cae\u8cb3\u8d30\u9621\u9646\u964c\u9678\u96f6\uf96b\uf973\uf978\uf9b2\uf9d1\uf9d3\uf9fd\u{20001}\u{20064}\u{200e2}\u{20121}\u{2092a}\u{20983}\u{2098c}\u{2099c}\u{20aea}\u{20afd}\u{20b19}\u{22390}\u{22998}\u{23b1b}\u{2626d}\u{2f890}'

/** Python's methods of `str`, without `encode`, for templates have no bytes; `format` is in string-format.ts. */
export const stringMethods: Readonly<Record<string, StringMethod>> = {
  capitalize: method('capitalize()', capitalizeText),
  casefold: changed('casefold', foldCase),
  center: pad('center', (missing, width) => (missing >> 1) + (missing & width & 1)),
  count: method('count(sub; start, end)', (text, given) => {
    const [start, end] = bounds(text, given)
    if (start > text.length) return 0
    const part = text.slice(start, Math.max(start, end))
    return given.text(0) === '' ? lengthOf(part) + 1 : countParts(part, given.text(0))
  }),
  encode: method('encode(; encoding, errors)', () => {
    throw new JinjaError("the method 'encode' of str is not supported: templates have no bytes")
  }),
  endswith: affix('endswith', (text, part) => text.endsWith(part)),
  expandtabs: method('expandtabs(; tabsize)', (text, given, { budget }) =>
    expandTabs(text, given.integer(0, 8), budget),
  ),
  find: find('find', false),
  index: find('index', false),
  isalnum: check('isalnum', new RegExp(`^[\\p{L}\\p{N}]+$`, 'u')),
  isalpha: check('isalpha', /^\p{L}+$/u),
  isascii: check('isascii', /^[\0-\x7f]*$/),
  isdecimal: check('isdecimal', /^\p{Nd}+$/u),
  isdigit: check('isdigit', new RegExp(`^[${digit}]+$`, 'u')),
  isidentifier: check('isidentifier', /^[\p{XIDS}_]\p{XIDC}*$/u),
  islower: cased('islower', isLower),
  isnumeric: check('isnumeric', new RegExp(`^[\\p{N}${numeral}]+$`, 'u')),
  isprintable: check('isprintable', /^(?: |[^\p{C}\p{Z}])*$/u),
  isspace: method('isspace()', (text) => text !== '' && stripText(text, 'both') === ''),
  istitle: cased('istitle', isTitle),
  isupper: cased('isupper', isUpper),
  join: method('join(iterable)', (text, given, subject) => joinText(text, given.at(0), subject)),
  ljust: pad('ljust', () => 0),
  lower: method('lower()', (text) => text.toLowerCase()),
  lstrip: strip('lstrip', 'left'),
  partition: method('partition(sep)', (text, given) => partition(text, given, false)),
  removeprefix: method('removeprefix(prefix)', (text, given) =>
    text.startsWith(given.text(0)) ? text.slice(given.text(0).length) : text,
  ),
  removesuffix: method('removesuffix(suffix)', (text, given) =>
    given.text(0) !== '' && text.endsWith(given.text(0)) ? text.slice(0, -given.text(0).length) : text,
  ),
  replace: method('replace(old, new; count)', replaceText),
  rfind: find('rfind', true),
  rindex: find('rindex', true),
  rjust: pad('rjust', (missing) => missing),
  rpartition: method('rpartition(sep)', (text, given) => partition(text, given, true)),
  rsplit: method('rsplit(; sep, maxsplit)', (text, given) => split(text, given, true)),
  rstrip: strip('rstrip', 'right'),
  split: method('split(; sep, maxsplit)', (text, given) => split(text, given, false)),
  splitlines: method('splitlines(; keepends)', (text, given) => splitLines(text, given.integer(0, 0) !== 0)),
  startswith: affix('startswith', (text, part) => text.startsWith(part)),
  maketrans: method('maketrans(x; y, z)', (_text, given, { budget }) => makeTable(given, budget)),
  strip: strip('strip', 'both'),
  swapcase: changed('swapcase', swapCase),
  title: changed('title', titleText),
  translate: method('translate(table)', (text, given, { budget }) => translateText(text, given.at(0), budget)),
  upper: method('upper()', (text) => text.toUpperCase()),
  zfill: method('zfill(width)', (text, given, { budget }) => zeroFill(text, given.integer(0, 0), budget)),
}
