/** Python's case of letters, where JavaScript has no title case and sees only the text it is given around a sigma. */

const cased = '\\p{Uppercase}\\p{Lowercase}\\p{Lt}'
const titleBreach = new RegExp(`(?<=[${cased}])[\\p{Uppercase}\\p{Lt}]|(?<![${cased}])\\p{Lowercase}`, 'u')
const anyCased = new RegExp(`[${cased}]`, 'u')
const word = /\p{Cased}+/gu

const digraphs: Readonly<Record<string, string>> = { Ǆ: 'ǅ', Ǉ: 'ǈ', Ǌ: 'ǋ', Ǳ: 'ǲ' }
const titleOwn = /[\p{Lt}ა-ჺჽ-ჿ]/u
const iota = '\u0399'
/** Small Greek letters with an iota below or beside them; the first 24 have a title case of their own, as the last three do. */
const iotaRows = /[\u1f80-\u1f87\u1f90-\u1f97\u1fa0-\u1fa7]/
const iotaSingles = /[\u1fb3\u1fc3\u1ff3]/

/** One character, in the case that begins a word. */
function titleChar(char: string): string {
  if (titleOwn.test(char)) return char
  const upper = char.toUpperCase()
  if (digraphs[upper] !== undefined) return digraphs[upper]
  if (upper.length === char.length) return upper
  if (iotaRows.test(char)) return String.fromCharCode(char.charCodeAt(0) + 8)
  if (iotaSingles.test(char)) return String.fromCharCode(char.charCodeAt(0) + 9)
  if (upper.endsWith(iota)) return `${upper.slice(0, -1)}\u0345`
  const first = String.fromCodePoint(upper.codePointAt(0)!)
  // ŉ begins with a sign that has no case.
  return anyCased.test(first) ? first + upper.slice(first.length).toLowerCase() : upper
}

/** A text in lower case, of which parts can be had by their place in the text. */
class Lowered {
  readonly #text: string
  readonly #lower: string
  #shift = 0
  #seen = 0

  constructor(text: string) {
    this.#text = text
    this.#lower = text.toLowerCase()
  }

  /** To be called from left to right. */
  slice(start: number, end: number): string {
    const from = start + this.#shiftAt(start)
    return this.#lower.slice(from, end + this.#shiftAt(end))
  }

  /** İ is the one letter that grows. */
  #shiftAt(index: number): number {
    if (this.#lower.length === this.#text.length) return 0
    for (; this.#seen < index; this.#seen++) if (this.#text[this.#seen] === 'İ') this.#shift++
    return this.#shift
  }
}

/** `str.title` of a text after `before`: each letter after a character without case begins a word. */
export function titleText(text: string, before = ''): string {
  const lowered = new Lowered(text)
  const isInside = anyCased.test(before)
  return text.replace(word, (letters: string, at: number) => {
    if (at === 0 && isInside) return lowered.slice(0, letters.length)
    const first = String.fromCodePoint(letters.codePointAt(0)!)
    return titleChar(first) + lowered.slice(at + first.length, at + letters.length)
  })
}

export function capitalizeText(text: string): string {
  if (text === '') return ''
  const first = String.fromCodePoint(text.codePointAt(0)!)
  return titleChar(first) + new Lowered(text).slice(first.length, text.length)
}

/** `str.swapcase`. */
export function swapCase(text: string): string {
  const lowered = new Lowered(text)
  return text.replace(/[\p{Uppercase}\p{Lowercase}]/gu, (char: string, at: number) => {
    return /\p{Uppercase}/u.test(char) ? lowered.slice(at, at + char.length) : char.toUpperCase()
  })
}

const cherokee = /[\u13a0-\u13f5\u13f8-\u13fd\uab70-\uabbf]/

/** `str.casefold`: what is equal but for its case becomes equal. */
export function foldCase(text: string): string {
  return text.replace(/[A-Z]+|[^\0-\x7f]/gu, (part: string) => (part < '\x80' ? part.toLowerCase() : foldChar(part)))
}

function foldChar(char: string): string {
  if (char === 'ı') return char
  if (char === 'ẞ') return 'ss'
  return cherokee.test(char) ? char.toUpperCase() : char.toUpperCase().toLowerCase()
}

export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)
}

export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)
}

export function isTitle(text: string): boolean {
  return anyCased.test(text) && !titleBreach.test(text)
}
