import { PieceReader, type Step } from './piece-reader.ts'

const words: Readonly<Record<string, string>> = {
  True: 'true',
  False: 'false',
  None: 'null',
  true: 'true',
  false: 'false',
  null: 'null',
}
const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', '\n': '' }
const maxDepth = 64
const number = /^[+-]?(\d[\d_]*)?(\.\d*)?(e[+-]?\d+)?$/iu

/** A text that is a literal of Python, as JSON text; null where it is none. */
export function parsePythonValue(text: string): string | null {
  const reader = new PieceReader()
  reader.push(text, false)
  reader.end()
  const { value, done } = readPythonValue(reader).next()
  return done === true && !reader.hasRest ? value : null
}

/** A literal of Python as JSON text; null where there is none. */
export function* readPythonValue(reader: PieceReader, depth = 0): Step<string | null> {
  const char = yield* reader.peek()
  if (depth > maxDepth) return null
  if (char === '"' || char === "'") return yield* readText(reader, char)
  if (char === '[' || char === '(') return yield* readList(reader, { end: char === '[' ? ']' : ')', depth })
  if (char === '{') return yield* readDict(reader, depth)
  let text = ''
  for (let next = char; /[\w.+-]/u.test(next); next = yield* reader.peek()) {
    text += next
    reader.at++
  }
  if (Object.hasOwn(words, text)) return words[text]!
  const value = text === '' || !number.test(text) ? Number.NaN : Number(text.replaceAll('_', ''))
  if (!Number.isFinite(value)) return null
  return isJsonNumber(text) ? text : String(value)
}

function isJsonNumber(text: string): boolean {
  return /^-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?$/iu.test(text)
}

function* readText(reader: PieceReader, quote: string): Step<string | null> {
  reader.at++
  let text = ''
  for (;;) {
    const stop = yield* reader.passUntil([quote, '\\'], (from, to) => (text += reader.slice(from, to)))
    if (stop === null) return null
    reader.at++
    if (stop === quote) return JSON.stringify(text)
    const kind = yield* reader.peek()
    if (kind === '') return null
    reader.at++
    const numDigits = kind === 'x' ? 2 : kind === 'u' ? 4 : kind === 'U' ? 8 : 0
    text += numDigits === 0 ? (escapes[kind] ?? kind) : yield* readCodePoint(reader, numDigits)
  }
}

function* readCodePoint(reader: PieceReader, numDigits: number): Step<string> {
  let digits = ''
  while (digits.length < numDigits) {
    const digit = yield* reader.peek()
    if (!/^[\da-f]$/iu.test(digit)) return digits
    digits += digit
    reader.at++
  }
  const code = Number.parseInt(digits, 16)
  return code <= 0x10_ff_ff ? String.fromCodePoint(code) : digits
}

interface ListOptions {
  readonly end: string
  readonly depth: number
}

function* readList(reader: PieceReader, { end, depth }: ListOptions): Step<string | null> {
  reader.at++
  const items: string[] = []
  for (;;) {
    yield* reader.skipBlank()
    if (yield* reader.take(end)) return `[${items.join(', ')}]`
    const item = yield* readPythonValue(reader, depth + 1)
    if (item === null) return null
    items.push(item)
    if (!(yield* endItem(reader, end))) return null
  }
}

function* readDict(reader: PieceReader, depth: number): Step<string | null> {
  reader.at++
  const members: string[] = []
  for (;;) {
    yield* reader.skipBlank()
    if (yield* reader.take('}')) return `{${members.join(', ')}}`
    const key = yield* readPythonValue(reader, depth + 1)
    yield* reader.skipBlank()
    if (key === null || !(yield* reader.take(':'))) return null
    yield* reader.skipBlank()
    const value = yield* readPythonValue(reader, depth + 1)
    if (value === null) return null
    members.push(`${key.startsWith('"') ? key : JSON.stringify(key)}: ${value}`)
    if (!(yield* endItem(reader, '}'))) return null
  }
}

/** A comma, or the end of the list, which stays. */
function* endItem(reader: PieceReader, end: string): Step<boolean> {
  yield* reader.skipBlank()
  return (yield* reader.take(',')) || (yield* reader.peek()) === end
}
