import type { CallWriter } from './call-writer.ts'
import { JsonScanner } from './json-scanner.ts'
import type { PieceReader, Step } from './piece-reader.ts'

/** Passes a JSON value on; false where it has no end, or is longer than it may be. */
export function* readValue(
  reader: PieceReader,
  write: (text: string) => void,
  maxLength = Number.POSITIVE_INFINITY,
): Step<boolean> {
  const scanner = new JsonScanner()
  for (let numLeft = maxLength; numLeft > 0;) {
    const { rest } = reader
    const length = scanner.feed(rest)
    write(rest.slice(0, length))
    reader.at += length
    numLeft -= length
    if (scanner.isDone) return true
    if (scanner.isBroken) return false
    if (yield* reader.more()) continue
    scanner.finish()
    return scanner.isDone
  }
  return false
}

/** A JSON string's value; null where there is none, or one that is longer than any name. */
export function* readString(reader: PieceReader, maxLength: number): Step<string | null> {
  if ((yield* reader.peek()) !== '"') return null
  let text = ''
  const scanner = new JsonScanner()
  while (!scanner.isDone) {
    const { rest } = reader
    const length = scanner.feed(rest)
    text += rest.slice(0, length)
    reader.at += length
    if (text.length > maxLength) return null
    if (!scanner.isDone && !(yield* reader.more())) return null
  }
  return parseString(text)
}

function parseString(text: string): string | null {
  try {
    return JSON.parse(text) as string
  } catch {
    return null
  }
}

/**
 * A call's arguments: an object as it is written, or the text that a string holds; null is none. Where brackets do not
 * match, all up to one of `ends` are arguments, for what a model wrote as such is not thrown away.
 */
export function* readArguments(reader: PieceReader, call: CallWriter, ends: readonly string[]): Step<void> {
  const first = yield* reader.peek()
  if (first === '"') return yield* readTextArguments(reader, call)
  if (first !== '{' && (yield* reader.take('null'))) return
  if (yield* readValue(reader, (text) => call.write(text))) return
  yield* reader.passUntil(ends, (from, to) => call.write(reader.slice(from, to)))
}

const simpleEscapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' }

function* readTextArguments(reader: PieceReader, call: CallWriter): Step<void> {
  reader.at++
  let isBlank = true
  const write = (text: string): void => {
    isBlank &&= text.trim() === ''
    if (!isBlank) call.write(text)
  }
  for (;;) {
    const stop = yield* reader.passUntil(['"', '\\'], (from, to) => write(reader.slice(from, to)))
    if (stop === null) return
    reader.at++
    if (stop === '"') return
    const kind = yield* reader.peek()
    if (kind === '') return
    reader.at++
    write(kind === 'u' ? yield* readUnicodeEscape(reader) : (simpleEscapes[kind] ?? kind))
  }
}

function* readUnicodeEscape(reader: PieceReader): Step<string> {
  let digits = ''
  while (digits.length < 4) {
    const digit = yield* reader.peek()
    if (!/^[\da-f]$/i.test(digit)) return digits
    digits += digit
    reader.at++
  }
  return String.fromCharCode(Number.parseInt(digits, 16))
}
