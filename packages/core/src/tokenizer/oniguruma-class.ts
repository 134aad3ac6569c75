import { TokenizerError } from '../errors.ts'
import { whitespace } from './encoding/unicode-sets.ts'

/** What parses a pattern character by character. */
export interface CharReader {
  peek(offset?: number): string | undefined
  next(): string
  tryTake(text: string): boolean
}

/** Measured: superscripts and fractions are words, too. */
const word = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}'
const shorthands: Readonly<Record<string, string>> = { w: word, d: '\\p{Nd}', s: whitespace, h: '0-9A-Fa-f' }

/** POSIX brackets, which are properties under the same names, too. */
const posix: Readonly<Record<string, string>> = {
  alnum: '\\p{Alphabetic}\\p{Nd}',
  alpha: '\\p{Alphabetic}',
  blank: '\\t\\p{Zs}',
  cntrl: '\\p{Cc}',
  digit: '\\p{Nd}',
  graph: `[^${whitespace}\\p{Cc}\\p{Cn}\\p{Cs}]`,
  lower: '\\p{Lowercase}',
  print: '[^\\p{Cc}\\p{Cn}\\p{Cs}\\u{2028}\\u{2029}]',
  punct: '\\p{P}\\p{S}',
  space: whitespace,
  upper: '\\p{Uppercase}',
  xdigit: '0-9A-Fa-f',
  word: '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}',
}
const controls: Readonly<Record<string, string>> = {
  t: '\t',
  n: '\n',
  r: '\r',
  f: '\f',
  v: '\v',
  a: '\x07',
  b: '\b',
  e: '\x1b',
}

/** `\w` and its like, as a class; `null` for other letters. */
export function shorthandClass(char: string): string | null {
  const set = shorthands[char.toLowerCase()]
  if (set === undefined) return null
  return char === char.toLowerCase() ? `[${set}]` : `[^${set}]`
}

/** After `\p` or `\P`. */
export function propertyClass(reader: CharReader, isNegated: boolean): string {
  let name = reader.next()
  if (name === '{') {
    name = ''
    while (!reader.tryTake('}')) name += reader.next()
  }
  const isInverted = name.startsWith('^')
  const set = propertySet(isInverted ? name.slice(1) : name)
  return isNegated !== isInverted ? `[^${set}]` : `[${set}]`
}

function propertySet(name: string): string {
  const known = posix[name.toLowerCase()]
  if (known !== undefined) return known
  for (const spelled of [name, `Script=${name}`]) {
    const set = `\\p{${spelled}}`
    try {
      if (/^[A-Za-z_=]+$/.test(spelled) && new RegExp(set, 'v')) return set
    } catch {
      // Not under this name.
    }
  }
  return refuse(`the property ${name.slice(0, 40)}`)
}

/** After `[`; operands of `&&` are sets of their own. */
export function parseClass(reader: CharReader, ignoresCase: boolean): string {
  const negation = reader.tryTake('^') ? '^' : ''
  const operands: string[] = []
  let items = ''
  for (let isStart = true; isStart || !reader.tryTake(']'); isStart = false) {
    if (reader.tryTake('&&')) {
      operands.push(items)
      items = ''
    } else {
      items += classItem(reader, ignoresCase)
    }
  }
  if (operands.length === 0) return `[${negation}${items}]`
  return `[${negation}${[...operands, items].map((set) => `[${set}]`).join('&&')}]`
}

function classItem(reader: CharReader, ignoresCase: boolean): string {
  const first = classAtom(reader, ignoresCase)
  if (first.char === null) return first.set
  if (reader.peek() !== '-' || reader.peek(1) === ']' || reader.peek(1) === undefined)
    return setOf(first.char, ignoresCase)
  reader.next()
  const last = classAtom(reader, ignoresCase)
  // A hyphen before a set is a hyphen.
  if (last.char === null) return `${setOf(first.char, ignoresCase)}${escaped('-')}${last.set}`
  return range(first.char, last.char, ignoresCase)
}

function range(from: string, to: string, ignoresCase: boolean): string {
  const [low, high] = [from.codePointAt(0)!, to.codePointAt(0)!]
  if (high < low) return refuse(`the range ${from}-${to}`)
  const set = `${escaped(from)}-${escaped(to)}`
  if (!ignoresCase) return set
  if (high - low > 1024) return refuse('a wide range where case is ignored')
  let folded = ''
  for (let code = low; code <= high; code++) folded += setOf(String.fromCodePoint(code), true)
  return folded
}

function classAtom(
  reader: CharReader,
  ignoresCase: boolean,
): { readonly char: string; readonly set: '' } | { readonly char: null; readonly set: string } {
  if (reader.tryTake('[:')) {
    const negation = reader.tryTake('^') ? '^' : ''
    let name = ''
    while (!reader.tryTake(':]')) name += reader.next()
    const set = posix[name]
    return { char: null, set: set === undefined ? refuse(`[:${name.slice(0, 40)}:]`) : `[${negation}${set}]` }
  }
  const char = reader.next()
  if (char === '[') return { char: null, set: parseClass(reader, ignoresCase) }
  if (char !== '\\') return { char, set: '' }
  const name = reader.next()
  if (name === 'p' || name === 'P') return { char: null, set: propertyClass(reader, name === 'P') }
  const shorthand = shorthandClass(name)
  if (shorthand !== null) return { char: null, set: shorthand }
  if (name === 'x' || name === 'u') return { char: hexChar(reader, name), set: '' }
  const control = controls[name]
  if (control === undefined && /[\p{L}\p{N}]/u.test(name) && name !== '0') return refuse(`\\${name}`)
  return { char: control ?? (name === '0' ? '\0' : name), set: '' }
}

function setOf(char: string, ignoresCase: boolean): string {
  return (ignoresCase ? foldedChars(char) : [char]).map(escaped).join('')
}

function escaped(char: string): string {
  return `\\u{${char.codePointAt(0)!.toString(16)}}`
}

export function hexChar(reader: CharReader, kind: 'x' | 'u'): string {
  let digits = ''
  if (kind === 'x' && reader.tryTake('{')) {
    while (!reader.tryTake('}')) digits += reader.next()
  } else {
    const length = kind === 'x' ? 2 : 4
    while (digits.length < length && /^[0-9a-fA-F]$/.test(reader.peek() ?? '')) digits += reader.next()
  }
  const codePoint = Number.parseInt(digits, 16)
  if (!(codePoint <= 0x10ffff)) return refuse(`\\${kind}${digits}`)
  return String.fromCodePoint(codePoint)
}

/** The characters that are one with this one where case does not matter. */
export function foldedChars(char: string): string[] {
  const chars = [...new Set([char, char.toLowerCase(), char.toUpperCase()])].filter(
    (text) => Array.from(text).length === 1,
  )
  const lower = char.toLowerCase()
  if (lower === 's') chars.push('\u017f')
  if (lower === 'k') chars.push('\u212a')
  return chars
}

export function refuse(what: string): never {
  throw new TokenizerError(`${what} is not supported`)
}
