import type { TurnQueue } from '@octavo/core'
import { HttpError } from './http-error.ts'
import { jsonLimits, partNames } from './json-limits.ts'

/** Looked at in one go; some 2 ms. */
const sliceBytes = 512 * 1024
const quote = 0x22
const backslash = 0x5c

/** What is found out about a text before it is parsed. */
export interface JsonScan {
  /** The integer under "seed" in the outermost object, as it is written; of several, the last, as `JSON.parse` has it. */
  readonly seed: string | null
}

/**
 * Counts the parts of a JSON text and looks at its keys, letting others run in between. Whether it is valid is for the
 * parser to say.
 * @throws HttpError 400 beyond a limit, and for keys that reach for prototypes
 */
export async function scanJson(bytes: Uint8Array, turns: TurnQueue): Promise<JsonScan> {
  const scanner = new JsonScanner(bytes)
  for (let end = sliceBytes; end < bytes.length + sliceBytes; end += sliceBytes)
    await turns.run(() => scanner.scan(Math.min(end, bytes.length)), { caller: bytes })
  return { seed: scanner.seed }
}

class JsonScanner {
  readonly #bytes: Uint8Array
  #at = 0
  readonly #counts = { depth: 0, objectsAndArrays: 0, keys: 0, strings: 0, values: 0 }
  #isInString = false
  #hasEscape = false
  /** Of the last string, its quotes included: a key, if a colon follows. */
  #stringStart = 0
  #stringEnd = 0
  #seedStart: number | null = null

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get seed(): string | null {
    if (this.#seedStart === null) return null
    let start = this.#seedStart
    while (this.#bytes[start]! <= 0x20) start++
    return /^-?\d{1,20}(?=[\s,}])/.exec(this.#text(start, start + 24))?.[0] ?? null
  }

  scan(end: number): void {
    while (this.#at < end) {
      if (this.#isInString) this.#skipString(end)
      else this.#step(this.#bytes[this.#at++]!)
    }
  }

  #step(byte: number): void {
    switch (byte) {
      case quote:
        this.#count('strings')
        this.#stringStart = this.#at - 1
        this.#hasEscape = false
        this.#isInString = true
        return
      case 0x7b: // {
      case 0x5b: // [
        this.#count('objectsAndArrays')
        this.#count('depth')
        return
      case 0x7d: // }
      case 0x5d: // ]
        this.#counts.depth--
        return
      case 0x2c: // ,
        this.#count('values')
        return
      case 0x3a: // :
        this.#count('keys')
        this.#lookAtKey()
    }
  }

  #skipString(end: number): void {
    const bytes = this.#bytes
    let at = this.#at
    while (at < end && bytes[at] !== quote) {
      if (bytes[at] === backslash) {
        this.#hasEscape = true
        at++
      }
      at++
    }
    if (at < end) {
      at++
      this.#isInString = false
      this.#stringEnd = at
    }
    this.#at = at
  }

  #lookAtKey(): void {
    const key = this.#key()
    if (key === '__proto__')
      throw new HttpError(400, 'The body has an object with the key "__proto__", which is not allowed.')
    if (key === 'seed' && this.#counts.depth === 1) this.#seedStart = this.#at
  }

  /** `null` where its length, in quotes, says that it is none of those that matter, and for what is no JSON. */
  #key(): string | null {
    const length = this.#stringEnd - this.#stringStart
    const mayMatter = this.#hasEscape
      ? length <= '""'.length + '\\u005f'.length * '__proto__'.length
      : length === '"seed"'.length || length === '"__proto__"'.length
    if (!mayMatter) return null
    const text = this.#text(this.#stringStart, this.#stringEnd)
    if (!this.#hasEscape) return text.slice(1, -1)
    try {
      return String(JSON.parse(text))
    } catch {
      return null
    }
  }

  #text(start: number, end: number): string {
    return Buffer.from(this.#bytes.subarray(start, end)).toString('latin1')
  }

  #count(part: keyof typeof jsonLimits): void {
    if (++this.#counts[part] <= jsonLimits[part]) return
    throw new HttpError(
      400,
      `The body has more than ${jsonLimits[part]} ${partNames[part]}, which is the limit; split the request, or leave some out.`,
    )
  }
}
