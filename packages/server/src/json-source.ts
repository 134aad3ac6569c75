/**
 * A value's place in a JSON text that `JSON.parse` has taken. JavaScript's numbers and objects are not what was written
 * (1.0, integers beyond 2^53, keys that look like indexes); the text is.
 */
export class JsonSource {
  readonly #text: string
  readonly #start: number
  readonly #end: number

  constructor(text: string, start = skipSpace(text, 0), end = skipValue(text, start)) {
    this.#text = text
    this.#start = start
    this.#end = end
  }

  get text(): string {
    return this.#text.slice(this.#start, this.#end)
  }

  /** Of an object. */
  member(key: string): JsonSource | undefined {
    return this.members().get(key)
  }

  /** Of an object; of several with the same key the last, as `JSON.parse` has it. */
  members(): Map<string, JsonSource> {
    const members = new Map<string, JsonSource>()
    if (this.#text[this.#start] !== '{') return members
    let at = skipSpace(this.#text, this.#start + 1)
    while (this.#text[at] === '"') {
      const keyEnd = skipString(this.#text, at)
      const start = skipSpace(this.#text, skipSpace(this.#text, keyEnd) + 1)
      const end = skipValue(this.#text, start)
      members.set(keyOf(this.#text.slice(at, keyEnd)), new JsonSource(this.#text, start, end))
      at = nextPart(this.#text, end)
    }
    return members
  }

  /** Of an array. */
  elements(): JsonSource[] {
    const elements: JsonSource[] = []
    if (this.#text[this.#start] !== '[') return elements
    let at = skipSpace(this.#text, this.#start + 1)
    while (at < this.#end && this.#text[at] !== ']') {
      const end = skipValue(this.#text, at)
      elements.push(new JsonSource(this.#text, at, end))
      at = nextPart(this.#text, end)
    }
    return elements
  }
}

function keyOf(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1)
}

const space = /[ \t\n\r]*/y
const scalar = /[^ \t\n\r,\]}]*/y
const structure = /["[\]{}]/g

function skipSpace(text: string, at: number): number {
  space.lastIndex = at
  space.test(text)
  return space.lastIndex
}

/** Past the comma after a value, if there is one. */
function nextPart(text: string, end: number): number {
  const at = skipSpace(text, end)
  return text[at] === ',' ? skipSpace(text, at + 1) : at
}

function skipValue(text: string, start: number): number {
  if (text[start] === '"') return skipString(text, start)
  if (text[start] === '{' || text[start] === '[') return skipNested(text, start)
  scalar.lastIndex = start
  scalar.test(text)
  return scalar.lastIndex
}

function skipNested(text: string, start: number): number {
  let depth = 0
  let at = start
  do {
    structure.lastIndex = at
    const found = structure.exec(text)
    if (found === null) return text.length
    const [char] = found
    at = char === '"' ? skipString(text, found.index) : found.index + 1
    if (char === '{' || char === '[') depth++
    else if (char !== '"') depth--
  } while (depth > 0)
  return at
}

function skipString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let backslash = at - 1
    while (text[backslash] === '\\') backslash--
    if ((at - backslash) % 2 === 1) return at + 1
  }
  return text.length
}
