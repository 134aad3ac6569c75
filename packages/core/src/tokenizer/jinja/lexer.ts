import { JinjaError } from './jinja-error.ts'
import { spaceClass, stripText } from './text.ts'

export type TokenType =
  | 'text'
  | 'blockBegin'
  | 'blockEnd'
  | 'outputBegin'
  | 'outputEnd'
  | 'name'
  | 'string'
  | 'integer'
  | 'float'
  | 'operator'
  | 'end'

export interface Token {
  readonly type: TokenType
  /** Of a string: what it says, escapes resolved. */
  readonly value: string
  readonly line: number
}

const tagBegin = /\{[{%#]/g
const rawBegin = new RegExp(`\\{%[-+]?[${spaceClass}]*raw[${spaceClass}]*(?:-%\\}[${spaceClass}]*|%\\})`, 'y')
const rawEnd = new RegExp(
  `\\{%([-+]?)[${spaceClass}]*endraw[${spaceClass}]*(?:\\+%\\}|-%\\}[${spaceClass}]*|%\\}\\n?)`,
  'g',
)
const commentEnd = new RegExp(`\\+#\\}|-#\\}[${spaceClass}]*|#\\}\\n?`, 'g')
const blockEnd = new RegExp(`\\+%\\}|-%\\}[${spaceClass}]*|%\\}\\n?`, 'y')
const outputEnd = new RegExp(`-\\}\\}[${spaceClass}]*|\\}\\}`, 'y')
const space = new RegExp(`[${spaceClass}]+`, 'y')
const digits = String.raw`\d+(?:_\d+)*`
const float = new RegExp(String.raw`(?<!\.)(?:${digits}\.${digits}(?:e[+-]?${digits})?|${digits}e[+-]?${digits})`, 'iy')
const integer = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy
const name = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy
const operator = /\/\/|\*\*|[=!<>]=|[-+/*%~[\](){}<>=.:|,;]/y
const closers: Readonly<Record<string, string>> = { '(': ')', '[': ']', '{': '}' }

/**
 * Template text → tokens, in transformers' environment: `trim_blocks`, `lstrip_blocks`, line ends as `\n`, no line end
 * at the end of the template.
 */
export function tokenize(source: string): Token[] {
  return new Lexer(source.replace(/\r\n?/g, '\n').replace(/\n$/, '')).run()
}

class Lexer {
  readonly #source: string
  readonly #tokens: Token[] = []
  #pos = 0
  #line = 1
  #nextBreak: number
  /** Whether the last tag ended with a line end, so that white space before the next one begins a line. */
  #isLineStart = true

  constructor(source: string) {
    this.#source = source
    this.#nextBreak = this.#breakAfter(0)
  }

  run(): Token[] {
    while (this.#pos < this.#source.length) {
      tagBegin.lastIndex = this.#pos
      const tag = tagBegin.exec(this.#source)
      if (tag === null) {
        this.#push('text', this.#source.slice(this.#pos), this.#source.length)
        break
      }
      this.#tag(tag.index, tag[0])
    }
    this.#push('end', '', this.#source.length)
    return this.#tokens
  }

  #tag(start: number, opener: string): void {
    const sign = this.#source[start + 2]
    const isSigned = sign === '-' || sign === '+'
    this.#text(start, isSigned ? sign : '', opener !== '{{')
    if (opener === '{#') return this.#comment(start + 2)
    if (opener === '{%' && this.#match(rawBegin) !== null) return this.#raw()
    const isBlock = opener === '{%'
    this.#push(isBlock ? 'blockBegin' : 'outputBegin', opener, start + (isSigned ? 3 : 2))
    this.#inside(isBlock)
  }

  /** The text up to a tag, of which the tag's sign or `lstrip_blocks` takes white space away. */
  #text(end: number, sign: string, isBlockLike: boolean): void {
    const text = this.#source.slice(this.#pos, end)
    let kept = text
    if (sign === '-') kept = stripText(text, 'right')
    else if (sign !== '+' && isBlockLike) {
      const lineStart = text.lastIndexOf('\n') + 1
      if ((lineStart > 0 || this.#isLineStart) && stripText(text.slice(lineStart), 'both') === '')
        kept = text.slice(0, lineStart)
    }
    if (kept !== '') this.#tokens.push({ type: 'text', value: kept, line: this.#line })
    this.#moveTo(end)
  }

  #comment(start: number): void {
    commentEnd.lastIndex = start
    const end = commentEnd.exec(this.#source)
    if (end === null && start < this.#source.length) throw new JinjaError('missing end of a comment', this.#line)
    this.#endTag(end === null ? start : end.index + end[0].length)
  }

  /** After `{% raw %}` (just matched): everything is text up to `{% endraw %}`. */
  #raw(): void {
    this.#isLineStart = false
    rawEnd.lastIndex = this.#pos
    const end = rawEnd.exec(this.#source)
    if (end === null && this.#pos < this.#source.length) throw new JinjaError('missing end of a raw block', this.#line)
    // Jinja2 takes the very end of the template for the end of the block.
    if (end === null) return
    this.#text(end.index, end[1] ?? '', true)
    this.#endTag(end.index + end[0].length)
  }

  /** Tokens of one tag, its end included: `}}` ends nothing while a brace is open. */
  #inside(isBlock: boolean): void {
    const open: string[] = []
    while (this.#pos < this.#source.length) {
      const end = open.length === 0 ? this.#peek(isBlock ? blockEnd : outputEnd) : null
      if (end !== null) {
        this.#tokens.push({ type: isBlock ? 'blockEnd' : 'outputEnd', value: end, line: this.#line })
        return this.#endTag(this.#pos + end.length)
      }
      if (this.#match(space) === null) this.#token(open)
    }
    // The parser says what is missing.
  }

  #token(open: string[]): void {
    for (const [type, pattern] of patterns) {
      const text = this.#peek(pattern)
      if (text === null) continue
      if (type === 'operator') this.#balance(text, open)
      this.#push(type, text, this.#pos + text.length)
      return
    }
    const quote = this.#source[this.#pos]!
    if (quote === "'" || quote === '"') return this.#string(quote)
    throw new JinjaError(`unexpected character ${JSON.stringify(quote)}`, this.#line)
  }

  #balance(text: string, open: string[]): void {
    const closer = closers[text]
    if (closer !== undefined) open.push(closer)
    else if (text === ')' || text === ']' || text === '}') {
      const expected = open.pop()
      if (expected !== text) {
        const hint = expected === undefined ? '' : `, expected '${expected}'`
        throw new JinjaError(`unexpected '${text}'${hint}`, this.#line)
      }
    }
  }

  #string(quote: string): void {
    let end = this.#pos + 1
    while (end < this.#source.length && this.#source[end] !== quote) end += this.#source[end] === '\\' ? 2 : 1
    if (end >= this.#source.length) throw new JinjaError('a string has no end', this.#line)
    this.#push('string', unescape(this.#source.slice(this.#pos + 1, end), this.#line), end + 1)
  }

  #push(type: TokenType, value: string, end: number): void {
    if (type !== 'text' || value !== '') this.#tokens.push({ type, value, line: this.#line })
    this.#moveTo(end)
  }

  #peek(pattern: RegExp): string | null {
    pattern.lastIndex = this.#pos
    return pattern.exec(this.#source)?.[0] ?? null
  }

  #match(pattern: RegExp): string | null {
    const text = this.#peek(pattern)
    if (text !== null) this.#moveTo(this.#pos + text.length)
    return text
  }

  #endTag(end: number): void {
    this.#moveTo(end)
    this.#isLineStart = this.#source[end - 1] === '\n'
  }

  #moveTo(end: number): void {
    while (this.#nextBreak < end) {
      this.#line++
      this.#nextBreak = this.#breakAfter(this.#nextBreak + 1)
    }
    this.#pos = end
  }

  #breakAfter(position: number): number {
    const at = this.#source.indexOf('\n', position)
    return at === -1 ? Infinity : at
  }
}

const patterns: readonly (readonly [TokenType, RegExp])[] = [
  ['float', float],
  ['integer', integer],
  ['name', name],
  ['operator', operator],
]

const simpleEscapes: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}
const escape = /\\(?:([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([^]))/gu

/** Python's escapes; a backslash before anything else stays. */
function unescape(text: string, line: number): string {
  if (!text.includes('\\')) return text
  return text.replace(escape, (...match: string[]) => {
    const [whole = '', octal, byte, short, long, char = ''] = match
    if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
    const hex = byte ?? short ?? long
    if (hex !== undefined) {
      const code = Number.parseInt(hex, 16)
      if (code > 0x10ffff) throw new JinjaError(`there is no character ${whole}`, line)
      return String.fromCodePoint(code)
    }
    if (Object.hasOwn(simpleEscapes, char)) return simpleEscapes[char]!
    if (/[xuUN]/.test(char)) throw new JinjaError(`a string has the incomplete escape ${whole}`, line)
    const code = char.codePointAt(0)!
    // Jinja2 writes characters beyond ASCII as escapes before it resolves these, and so takes the backslash of this one.
    return code < 0x80 ? whole : `\\${hexEscape(code)}`
  })
}

function hexEscape(code: number): string {
  if (code < 0x100) return `x${code.toString(16).padStart(2, '0')}`
  return code < 0x10000 ? `u${code.toString(16).padStart(4, '0')}` : `U${code.toString(16).padStart(8, '0')}`
}
