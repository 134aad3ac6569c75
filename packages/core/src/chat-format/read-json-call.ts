import type { CallWriter } from './call-writer.ts'
import type { JsonCallSyntax } from './chat-format.ts'
import type { PieceReader, Step } from './piece-reader.ts'
import { readArguments, readString, readValue } from './read-json.ts'
import { wordsOf } from './words-of.ts'

const maxKeyLength = 256
const maxNameLength = 512
/** Of a member before the call is known to be one: until then its text is kept. */
const maxEarlyLength = 65_536
/** Models of one dialect write the other's word for arguments now and then. */
const argumentsKeys: readonly string[] = ['arguments', 'parameters']
/** Members that are no sign of another kind of object. */
const commonKeys: readonly string[] = ['type', 'id', 'function']

export interface JsonCallOptions {
  /** Nothing but the object's members says that it is a call: all must be known, and arguments among them. */
  readonly isBare: boolean
  readonly call: CallWriter
}

/** Reads a call that is a JSON object. What was read is a call if and only if it has begun then. */
export function* readJsonCall(reader: PieceReader, syntax: JsonCallSyntax, options: JsonCallOptions): Step<void> {
  const { call } = options
  if (!(yield* reader.takeWords(wordsOf(syntax.begin)))) return
  yield* reader.skipBlank()
  const object = new ObjectReader(reader, syntax, options)
  if (yield* object.read()) object.complete()
  for (const word of call.hasBegun ? wordsOf(syntax.end) : []) {
    yield* reader.skipBlank()
    if (!(yield* reader.takeOrCutOff(word))) break
  }
}

class ObjectReader {
  readonly #reader: PieceReader
  readonly #isBare: boolean
  readonly #call: CallWriter
  readonly #nameKey: string
  readonly #argumentsKeys: ReadonlySet<string>
  readonly #idKey: string | null
  readonly #wrappers: ReadonlySet<string>
  readonly #known: ReadonlySet<string>
  readonly #ends: readonly string[]
  #name: string | null = null
  #id: string | null = null
  /** Arguments that came before the name. */
  #early: string | null = null

  constructor(reader: PieceReader, syntax: JsonCallSyntax, { isBare, call }: JsonCallOptions) {
    const { namePath, argumentsPath, idPath, constantKeys, end } = syntax
    this.#reader = reader
    this.#isBare = isBare
    this.#call = call
    this.#nameKey = namePath.at(-1)!
    this.#argumentsKeys = new Set([argumentsPath.at(-1)!, ...argumentsKeys])
    this.#idKey = idPath?.at(-1) ?? null
    this.#wrappers = new Set([...namePath.slice(0, -1), 'function'])
    this.#known = new Set([this.#nameKey, ...this.#argumentsKeys, ...constantKeys, ...commonKeys])
    const last = wordsOf(end).at(0)
    this.#ends = last === undefined ? [] : [last]
  }

  /** One object; false where it is none, or no call's. */
  *read(depth = 0): Step<boolean> {
    const reader = this.#reader
    if (!(yield* reader.take('{'))) return false
    yield* reader.skipBlank()
    if (yield* reader.take('}')) return true
    for (;;) {
      yield* reader.skipBlank()
      const key = yield* readString(reader, maxKeyLength)
      yield* reader.skipBlank()
      if (key === null || !(yield* reader.take(':'))) return false
      yield* reader.skipBlank()
      if (!(yield* this.#member(key, depth))) return false
      yield* reader.skipBlank()
      if (yield* reader.take('}')) return true
      if (!(yield* reader.take(','))) return false
    }
  }

  complete(): void {
    if (this.#call.hasBegun) return this.#call.end()
    if (this.#name === null || (this.#isBare && this.#early === null)) return
    this.#call.begin(this.#name, this.#id)
    this.#call.write(this.#early ?? '')
    this.#call.end()
  }

  *#member(key: string, depth: number): Step<boolean> {
    const reader = this.#reader
    if (key === this.#nameKey) {
      this.#name ??= yield* readString(reader, maxNameLength)
      return this.#name !== null && this.#name !== ''
    }
    if (this.#argumentsKeys.has(key) && !this.#call.hasBegun && this.#early === null) return yield* this.#arguments()
    if (this.#wrappers.has(key) && depth === 0 && (yield* reader.peek()) === '{') return yield* this.read(1)
    if (this.#isBare && !this.#known.has(key)) return false
    if (key === this.#idKey && (yield* reader.peek()) === '"') {
      this.#id = yield* readString(reader, maxNameLength)
      return true
    }
    return yield* readValue(reader, () => undefined, this.#call.hasBegun ? undefined : maxEarlyLength)
  }

  *#arguments(): Step<boolean> {
    const reader = this.#reader
    if (this.#name !== null) {
      this.#call.begin(this.#name, this.#id)
      yield* readArguments(reader, this.#call, this.#ends)
      return true
    }
    let text = ''
    const isWhole = yield* readValue(reader, (piece) => (text += piece), maxEarlyLength)
    this.#early = textOf(text)
    return isWhole
  }
}

function textOf(value: string): string {
  if (value === 'null') return ''
  if (!value.startsWith('"')) return value
  try {
    return JSON.parse(value) as string
  } catch {
    return value
  }
}
