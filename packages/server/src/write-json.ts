import type { TurnQueue } from '@octavo/core'

/** Written in one go; some 0.5 ms. */
const charsAtOnce = 65_536
/** Values that `JSON.stringify` gets at once. */
const maxValuesAtOnce = 512

/** An answer whose choices are made while it is written, and of which no more than one is held. */
export type InWriting<Answer, Choice> = Omit<Answer, 'choices'> & { readonly choices: AsyncIterable<Choice> }

/** The bytes of `JSON.stringify`, letting others run in between where there are many. Fields may be lists whose entries come one by one. */
export async function writeJson(body: object, turns: TurnQueue): Promise<Buffer[]> {
  const writer = new JsonWriter(turns)
  let separator = '{'
  for (const [key, value] of Object.entries(body)) {
    if (value === undefined) continue
    writer.add(`${separator}${JSON.stringify(key)}:`)
    separator = ','
    if (isAsyncIterable(value)) await writer.writeList(value)
    else await writer.write(value)
  }
  writer.add(separator === '{' ? '{}' : '}')
  return writer.end()
}

class JsonWriter {
  readonly #turns: TurnQueue
  readonly #written: Buffer[] = []
  /** Not encoded yet. */
  #texts: string[] = []
  #numChars = 0

  constructor(turns: TurnQueue) {
    this.#turns = turns
  }

  add(text: string): void {
    this.#texts.push(text)
    this.#numChars += text.length
  }

  async writeList(list: AsyncIterable<unknown>): Promise<void> {
    let separator = '['
    for await (const element of list) {
      this.add(separator)
      separator = ','
      await this.write(element)
    }
    this.add(separator === '[' ? '[]' : ']')
  }

  async write(value: unknown): Promise<void> {
    const pieces = jsonPieces(value)
    while (await this.#turns.run(() => this.#writeSlice(pieces), { caller: this }));
  }

  end(): Buffer[] {
    this.#encode()
    return this.#written
  }

  /** @returns whether there is more */
  #writeSlice(pieces: Iterator<string, void>): boolean {
    while (this.#numChars < charsAtOnce) {
      const piece = pieces.next()
      if (piece.done === true) return false
      this.add(piece.value)
    }
    this.#encode()
    return true
  }

  #encode(): void {
    if (this.#numChars === 0) return
    this.#written.push(Buffer.from(this.#texts.join('')))
    this.#texts = []
    this.#numChars = 0
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

function* jsonPieces(value: unknown): Generator<string, void, undefined> {
  if (typeof value !== 'object' || value === null || valuesLeft(value, maxValuesAtOnce) >= 0) {
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
