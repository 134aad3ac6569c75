import type { CallWriter } from './call-writer.ts'
import type { TaggedCallSyntax } from './chat-format.ts'
import { endOf } from './call-frame.ts'
import type { PieceReader, Step } from './piece-reader.ts'
import { type CallHead, readHead } from './read-frame.ts'
import { escapeText, isText, jsonOfText, type ValueTypes } from './tagged-value.ts'
import { wordsOf } from './words-of.ts'

const maxKeyLength = 256

type Parameter = TaggedCallSyntax['parameter']

/**
 * Reads a name, then each argument between tags; the arguments become a JSON object. What was read is a call if and only
 * if it has begun then.
 */
export function* readTaggedCall(
  reader: PieceReader,
  syntax: TaggedCallSyntax,
  { call, typesOf }: { readonly call: CallWriter; readonly typesOf: (tool: string, key: string) => ValueTypes },
): Step<void> {
  const { begin, end, separator } = syntax.parameter
  const [parameterWords, callEnds] = [wordsOf(begin), wordsOf(endOf(syntax.frame))]
  const firsts = [...parameterWords.slice(0, 1), ...callEnds.slice(0, 1)]
  const head = yield* readHead(reader, syntax.frame, firsts)
  if (head === null) return
  for (let numRead = 0; ; numRead++) {
    if (numRead > 0) yield* reader.takeWords(wordsOf(separator))
    if (!(yield* reader.takeWords(parameterWords))) break
    const found = yield* readKey(reader, syntax.parameter)
    if (found === null && call.hasBegun && reader.takeCutOff([reader.rest])) return
    if (found === null) break
    const { key, keyEnd } = found
    if (!call.hasBegun) call.begin(head.name, head.id)
    call.write(`${numRead === 0 ? '{' : ', '}${JSON.stringify(key)}: `)
    const value = new ValueReader(reader, { call, keyEnd, end })
    // The end of the text inside a value: what comes is not known, so nothing is closed.
    if (!(yield* value.read(markedTypes(typesOf(head.name, key), keyEnd, syntax.parameter)))) return
  }
  yield* reader.skipBlank()
  yield* endCall(reader, { call, head, ends: callEnds, cutOff: firsts })
}

interface EndOptions {
  readonly call: CallWriter
  readonly head: CallHead
  readonly ends: readonly string[]
  /** What may have been about to come where the text ends. */
  readonly cutOff: readonly string[]
}

function* endCall(reader: PieceReader, { call, head, ends, cutOff }: EndOptions): Step<void> {
  const [first, ...others] = ends
  const isEnd = first !== undefined && (yield* reader.take(first))
  if (!isEnd && call.hasBegun && reader.takeCutOff(cutOff)) return
  if (call.hasBegun) call.write('}')
  else if (isEnd) call.begin(head.name, head.id)
  else return
  for (const word of isEnd ? others : []) {
    yield* reader.skipBlank()
    if (!(yield* reader.takeOrCutOff(word))) break
  }
  call.end()
}

interface FoundKey {
  readonly key: string
  /** As the syntax has it. */
  readonly keyEnd: string
}

function* readKey(reader: PieceReader, { keyEnd, valueKeyEnd }: Parameter): Step<FoundKey | null> {
  const ways = (valueKeyEnd === null ? [keyEnd] : [keyEnd, valueKeyEnd]).map((text) => ({ text, words: wordsOf(text) }))
  let key = ''
  reader.mark()
  const end = yield* reader.passUntil(
    [...new Set(ways.flatMap(({ words }) => words.slice(0, 1))), '\n'],
    (from, to) => (key += key.length <= maxKeyLength ? reader.slice(from, to) : ''),
  )
  const matching = ways.filter(({ words }) => (words[0] ?? '\n') === end)
  if (end === null || key.trim() === '' || key.length > maxKeyLength || matching.length === 0) {
    reader.reset()
    return null
  }
  reader.release()
  reader.at += end.length
  for (const { text, words } of matching)
    if (yield* reader.takeWords(words.slice(1))) return { key: key.trim(), keyEnd: text }
  return null
}

/** The types of a value whose markup says whether it is a string. */
function markedTypes(types: ValueTypes, keyEnd: string, { valueKeyEnd }: Parameter): ValueTypes {
  if (valueKeyEnd === null) return types
  if (keyEnd !== valueKeyEnd) return types === null || types.has('string') ? new Set(['string']) : types
  const others = [...(types ?? [])].filter((type) => type !== 'string')
  return others.length === 0 ? null : new Set(others)
}

interface ValueOptions {
  readonly call: CallWriter
  readonly keyEnd: string
  readonly end: string
}

/** One value: its tag's text, without the line ends that the template puts around it. */
class ValueReader {
  readonly #reader: PieceReader
  readonly #call: CallWriter
  readonly #begin: string
  readonly #end: string
  readonly #ends: readonly string[]
  #held = ''
  #isFirst = true

  constructor(reader: PieceReader, { call, keyEnd, end }: ValueOptions) {
    this.#reader = reader
    this.#call = call
    this.#begin = /\s*$/u.exec(keyEnd)![0]
    this.#end = /^\s*/u.exec(end)![0]
    this.#ends = wordsOf(end)
  }

  /** False where the text ends before the value does. */
  *read(types: ValueTypes): Step<boolean> {
    const isPlain = isText(types)
    if (this.#begin !== '') yield* this.#skipBegin()
    if (isPlain) this.#call.write('"')
    const write = (text: string): void => {
      if (isPlain) this.#call.write(escapeText(text))
      else this.#held += text
    }
    const trim = new EndTrimmer(this.#end, write)
    const [first] = this.#ends
    const end = yield* this.#reader.passUntil(first === undefined ? [] : [first], (from, to) =>
      trim.write(this.#reader.slice(from, to)),
    )
    if (end === null) {
      trim.flush()
      if (!isPlain) this.#call.write(this.#held)
      return false
    }
    trim.finish()
    yield* this.#reader.takeWords(this.#ends)
    this.#call.write(isPlain ? '"' : jsonOfText(this.#held, types))
    return true
  }

  *#skipBegin(): Step<void> {
    for (const char of this.#begin) if (this.#isFirst) this.#isFirst = yield* this.#reader.take(char)
  }
}

/** Takes the white space that belongs to the markup off the end. */
class EndTrimmer {
  readonly #end: string
  readonly #write: (text: string) => void
  #held = ''

  constructor(end: string, write: (text: string) => void) {
    this.#end = end
    this.#write = write
  }

  write(text: string): void {
    const known = this.#held + text
    const length = Math.max(0, known.length - this.#end.length)
    this.#write(known.slice(0, length))
    this.#held = known.slice(length)
  }

  finish(): void {
    this.#held = this.#held.endsWith(this.#end) ? this.#held.slice(0, this.#held.length - this.#end.length) : this.#held
    this.flush()
  }

  flush(): void {
    this.#write(this.#held)
    this.#held = ''
  }
}
