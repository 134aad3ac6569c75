import type { TurnQueue } from '@octavo/core'

/** Written in one go; some 0.5 ms. */
const charsAtOnce = 65_536
/** Values that `JSON.stringify` gets at once. */
const maxValuesAtOnce = 512

/** An answer that is made while it is written: of a list no more than one entry is held, a function is called in its place. */
export type InWriting<Answer> = {
  readonly [Key in keyof Answer]:
    | Answer[Key]
    | (() => Answer[Key] | Promise<Answer[Key]>)
    | (Answer[Key] extends readonly (infer Entry)[] ? AsyncIterable<Entry> : never)
}

export interface JsonBytesOptions {
  readonly turns: TurnQueue
  /** Ends the writing with its reason. */
  readonly signal?: AbortSignal
}

/** The bytes of `JSON.stringify`, letting others run in between where there are many; they are made as they are read. A body that is an async iterable is a list. */
export async function* jsonBytes(
  body: object,
  { turns, signal }: JsonBytesOptions,
): AsyncGenerator<Buffer, void, undefined> {
  const buffer = new TextBuffer()
  const caller = buffer
  for await (const pieces of pieceLists(body)) {
    const fill = (): Promise<Buffer | null> => turns.run(() => buffer.fill(pieces), { caller, signal })
    for (let full = await fill(); full !== null; full = await fill()) yield full
  }
  yield buffer.take()
}

/** Whether `jsonBytes` makes no more than one piece of it. */
export function isWrittenAtOnce(value: unknown): boolean {
  return valuesLeft(value, maxValuesAtOnce) >= 0
}

/** Of text that is not encoded yet. */
class TextBuffer {
  #texts: string[] = []
  #numChars = 0

  /** @returns the bytes of what is full, or `null` where the pieces have come to their end */
  fill(pieces: Iterator<string, void>): Buffer | null {
    while (this.#numChars < charsAtOnce) {
      const piece = pieces.next()
      if (piece.done === true) return null
      this.#texts.push(piece.value)
      this.#numChars += piece.value.length
    }
    return this.take()
  }

  take(): Buffer {
    const bytes = Buffer.from(this.#texts.join(''))
    this.#texts = []
    this.#numChars = 0
    return bytes
  }
}

async function* pieceLists(body: object): AsyncGenerator<Iterator<string, void>, void, undefined> {
  if (isAsyncIterable(body)) return yield* entryLists(body, '')
  let separator = '{'
  for (const [key, given] of Object.entries(body)) {
    const value: unknown = typeof given === 'function' ? await given() : given
    if (value === undefined) continue
    const name = `${separator}${JSON.stringify(key)}:`
    separator = ','
    if (isAsyncIterable(value)) yield* entryLists(value, name)
    else yield prefixed(name, value)
  }
  yield [separator === '{' ? '{}' : '}'].values()
}

async function* entryLists(
  list: AsyncIterable<unknown>,
  name: string,
): AsyncGenerator<Iterator<string, void>, void, undefined> {
  let before = `${name}[`
  for await (const entry of list) {
    yield prefixed(before, entry)
    before = ','
  }
  yield [before === ',' ? ']' : `${before}]`].values()
}

function* prefixed(text: string, value: unknown): Generator<string, void, undefined> {
  yield text
  yield* jsonPieces(value)
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function* jsonPieces(value: unknown): Generator<string, void, undefined> {
  if (typeof value !== 'object' || value === null || isWrittenAtOnce(value)) {
    yield JSON.stringify(value) ?? 'null'
  } else if (Array.isArray(value)) {
    yield '['
    for (const [i, element] of value.entries()) {
      if (i > 0) yield ','
      yield* jsonPieces(element)
    }
    yield ']'
  } else {
    yield '{'
    let separator = ''
    for (const [key, element] of Object.entries(value)) {
      if (element === undefined) continue
      yield `${separator}${JSON.stringify(key)}:`
      yield* jsonPieces(element)
      separator = ','
    }
    yield '}'
  }
}

/** Of so many values, how many are left after those in this one; below 0 as soon as there are too few. */
function valuesLeft(value: unknown, limit: number): number {
  let left = limit - 1
  if (typeof value !== 'object' || value === null) return left
  for (const element of Array.isArray(value) ? value : Object.values(value)) {
    if (left < 0) return left
    left = valuesLeft(element, left)
  }
  return left
}
