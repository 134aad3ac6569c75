import { complementOf, intersectionOf, allCodePoints, unionOf, type CodePoints } from '../automaton/code-points.ts'

/** xgrammar's EBNF, parsed. */
export type GrammarNode =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'set'; readonly set: CodePoints }
  | { readonly type: 'rule'; readonly name: string }
  | { readonly type: 'sequence'; readonly items: readonly GrammarNode[] }
  | { readonly type: 'choice'; readonly items: readonly GrammarNode[] }
  | { readonly type: 'repeat'; readonly item: GrammarNode; readonly min: number; readonly max: number | null }

const maxNesting = 64
const maxNodes = 20_000
const maxRepeat = 10_000

/** What is wrong with a grammar, and where. */
export class GrammarError extends Error {
  constructor(message: string, line: number | null = null) {
    super(line === null ? message : `line ${line}: ${message}`)
    this.name = 'GrammarError'
  }
}

/** The rules of a grammar by name. Throws GrammarError. */
export function parseGrammar(text: string): ReadonlyMap<string, GrammarNode> {
  if (text.includes('\0')) throw new GrammarError('a NUL character')
  if (!text.isWellFormed()) throw new GrammarError('half a surrogate pair')
  return new GrammarParser(text).parse()
}

const rulePattern = /[A-Za-z_.-][A-Za-z0-9_.-]*[ \t]*::=/y
const namePattern = /[A-Za-z_.-][A-Za-z0-9_.-]*/y
const spacePattern = /(?:[ \t\r\n]|#[^\r\n]*)*/y
const rangePattern = /\{\s*(\d{1,9})\s*(?:(,)\s*(\d{1,9})?\s*)?\}/y
const escapes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    "'": "'",
    '"': '"',
    '?': '?',
    '\\': '\\',
    a: '\x07',
    b: '\b',
    f: '\f',
    n: '\n',
    r: '\r',
    t: '\t',
    v: '\v',
    e: '\x1b',
  }),
)
const classEscapes = /[\^$\\.*+?()[\]{}|/-]/

class GrammarParser {
  private readonly text: string
  private at = 0
  private depth = 0
  private numNodes = 0

  constructor(text: string) {
    this.text = text
  }

  parse(): ReadonlyMap<string, GrammarNode> {
    const rules = new Map<string, GrammarNode>()
    this.skipSpace()
    while (this.at < this.text.length) {
      const head = this.tryMatch(rulePattern)
      if (head === null) throw this.error('expected a rule, as: name ::= …')
      const name = head[0].replace(/[ \t]*::=$/, '')
      if (rules.has(name)) throw this.error(`the rule ${name.slice(0, 60)} is defined twice`)
      rules.set(name, this.parseChoice())
    }
    return rules
  }

  private error(message: string): GrammarError {
    return new GrammarError(message, this.text.slice(0, this.at).split('\n').length)
  }

  private tryMatch(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    const match = pattern.exec(this.text)
    if (match !== null) this.at += match[0].length
    return match
  }

  private skipSpace(): void {
    this.tryMatch(spacePattern)
  }

  private tryTake(text: string): boolean {
    if (!this.text.startsWith(text, this.at)) return false
    this.at += text.length
    return true
  }

  private count<T extends GrammarNode>(node: T): T {
    if (++this.numNodes > maxNodes) throw this.error(`more than ${maxNodes} parts`)
    return node
  }

  private parseChoice(): GrammarNode {
    const items = [this.parseSequence()]
    while (this.tryTake('|')) items.push(this.parseSequence())
    return items.length === 1 ? items[0]! : this.count({ type: 'choice', items })
  }

  private parseSequence(): GrammarNode {
    const items: GrammarNode[] = []
    for (;;) {
      this.skipSpace()
      const item = this.tryElement()
      if (item === null) break
      items.push(this.parseQuantifier(item))
    }
    if (items.length === 0) throw this.error('nothing where a part of a rule is expected; "" is the empty text')
    return items.length === 1 ? items[0]! : this.count({ type: 'sequence', items })
  }

  private tryElement(): GrammarNode | null {
    if (this.tryTake('"')) return this.count({ type: 'text', text: this.parseText() })
    if (this.tryTake('[')) return this.count({ type: 'set', set: this.parseClass() })
    if (this.text.startsWith('(=', this.at)) throw this.error('lookahead assertions are not supported; leave them out')
    if (this.tryTake('(')) {
      if (++this.depth > maxNesting) throw this.error(`groups nested deeper than ${maxNesting}`)
      const inner = this.parseChoice()
      if (!this.tryTake(')')) throw this.error('a group that is not closed')
      this.depth--
      return inner
    }
    rulePattern.lastIndex = this.at
    if (rulePattern.test(this.text)) return null
    const name = this.tryMatch(namePattern)
    if (name === null) return null
    if (this.text[this.at] === '(') throw this.error(`functions such as ${name[0].slice(0, 60)}(…) are not supported`)
    return this.count({ type: 'rule', name: name[0] })
  }

  private parseQuantifier(item: GrammarNode): GrammarNode {
    this.skipSpace()
    if (this.tryTake('*')) return this.count({ type: 'repeat', item, min: 0, max: null })
    if (this.tryTake('+')) return this.count({ type: 'repeat', item, min: 1, max: null })
    if (this.tryTake('?')) return this.count({ type: 'repeat', item, min: 0, max: 1 })
    if (this.text[this.at] !== '{') return item
    const range = this.tryMatch(rangePattern)
    if (range === null) throw this.error('expected a repetition, as: {2}, {2,} or {2,5}')
    const min = Number(range[1])
    const max = range[2] === undefined ? min : range[3] === undefined ? null : Number(range[3])
    if (max !== null && max < min) throw this.error('a repetition whose minimum is above its maximum')
    if (Math.max(min, max ?? 0) > maxRepeat) throw this.error(`a repetition of more than ${maxRepeat} times`)
    return this.count({ type: 'repeat', item, min, max })
  }

  private parseText(): string {
    let text = ''
    for (;;) {
      const character = this.takeCharacter('the text is not closed')
      if (character === '"') return text
      text += character === '\\' ? this.parseEscape(false) : character
    }
  }

  private takeCharacter(unclosed: string): string {
    const codePoint = this.text.codePointAt(this.at)
    if (codePoint === undefined || codePoint === 0x0a || codePoint === 0x0d) throw this.error(unclosed)
    const character = String.fromCodePoint(codePoint)
    this.at += character.length
    return character
  }

  private parseEscape(isInClass: boolean): string {
    const hex = this.tryMatch(/x([0-9a-fA-F]{1,8})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})/y)
    if (hex !== null) {
      const codePoint = Number.parseInt(hex[1] ?? hex[2] ?? hex[3]!, 16)
      if (codePoint === 0 || codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) {
        throw this.error('an escape that is no character')
      }
      return String.fromCodePoint(codePoint)
    }
    const letter = this.takeCharacter('a backslash at the end of the line')
    const escaped = escapes.get(letter) ?? (isInClass && classEscapes.test(letter) ? letter : undefined)
    if (escaped === undefined) throw this.error(`the escape \\${letter} is not known`)
    return escaped
  }

  private parseClass(): CodePoints {
    const isNegative = this.tryTake('^')
    const parts: CodePoints[] = []
    while (!this.tryTake(']')) {
      const first = this.parseClassCharacter()
      const isRange = this.text[this.at] === '-' && this.text[this.at + 1] !== ']'
      if (isRange) this.at++
      const last = isRange ? this.parseClassCharacter() : first
      if (last < first) throw this.error('a range whose ends are out of order')
      parts.push(intersectionOf([[first, last]], allCodePoints))
    }
    const set = unionOf(parts)
    return isNegative ? complementOf(set) : set
  }

  private parseClassCharacter(): number {
    const character = this.takeCharacter('the character class is not closed')
    return (character === '\\' ? this.parseEscape(true) : character).codePointAt(0)!
  }
}
