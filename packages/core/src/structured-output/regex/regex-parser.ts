import { complementOf, intersectionOf, allCodePoints, unionOf, type CodePoints } from '../automaton/code-points.ts'
import { anyButLineEnds, classEscapes, tryUnicodeProperty } from './regex-classes.ts'
import type { RegexNode } from './regex-node.ts'

export const maxPatternLength = 8192
const maxNesting = 64
const maxRepeat = 10_000

/** Why a pattern is refused; whoever parses adds where the pattern stands. */
export class RegexError extends Error {
  constructor(message: string, position: number | null = null) {
    super(position === null ? message : `${message} at position ${position}`)
    this.name = 'RegexError'
  }
}

/** Parses ECMAScript's syntax with the flag u, and what Python writes the same way. Throws RegexError. */
export function parseRegex(pattern: string): RegexNode {
  if (pattern.length > maxPatternLength) {
    throw new RegexError(`the pattern has ${pattern.length} characters, more than ${maxPatternLength}`)
  }
  if (pattern.includes('\0')) throw new RegexError('the pattern has a NUL character', pattern.indexOf('\0'))
  const parser = new RegexParser(pattern)
  return parser.parse()
}

const simpleEscapes: ReadonlyMap<string, number> = new Map([
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['f', 0x0c],
  ['v', 0x0b],
  ['a', 0x07],
])

class RegexParser {
  private readonly pattern: string
  private at = 0
  private depth = 0

  constructor(pattern: string) {
    this.pattern = pattern
  }

  parse(): RegexNode {
    const node = this.parseChoice()
    if (this.at < this.pattern.length) throw this.error('unmatched )')
    return node
  }

  private error(message: string, position: number = this.at): RegexError {
    return new RegexError(message, position)
  }

  private tryTake(text: string): boolean {
    if (!this.pattern.startsWith(text, this.at)) return false
    this.at += text.length
    return true
  }

  private parseChoice(): RegexNode {
    const items = [this.parseSequence()]
    while (this.tryTake('|')) items.push(this.parseSequence())
    return items.length === 1 ? items[0]! : { type: 'choice', items }
  }

  private parseSequence(): RegexNode {
    const items: RegexNode[] = []
    while (this.at < this.pattern.length && !/[|)]/.test(this.pattern[this.at]!)) {
      const position = this.at
      items.push(this.parseQuantifier(this.parseAtom(), position))
    }
    return items.length === 1 ? items[0]! : { type: 'sequence', items }
  }

  private parseAtom(): RegexNode {
    const position = this.at
    if (this.tryTake('^')) return { type: 'edge', side: 'start', position }
    if (this.tryTake('$')) return { type: 'edge', side: 'end', position }
    if (this.tryTake('.')) return { type: 'set', set: anyButLineEnds }
    if (this.tryTake('(')) return this.parseGroup(position)
    if (this.tryTake('[')) return { type: 'set', set: this.parseClass(position) }
    if (/[*+?]/.test(this.pattern[this.at]!)) throw this.error('nothing to repeat')
    if (this.tryTake('\\')) return { type: 'set', set: this.parseEscape(position, false) }
    return { type: 'set', set: single(this.takeCharacter()) }
  }

  private takeCharacter(): number {
    const codePoint = this.pattern.codePointAt(this.at)!
    if (codePoint >= 0xd800 && codePoint <= 0xdfff) throw this.error('half a surrogate pair')
    this.at += codePoint > 0xffff ? 2 : 1
    return codePoint
  }

  private parseGroup(position: number): RegexNode {
    if (++this.depth > maxNesting) throw this.error(`groups nested deeper than ${maxNesting}`, position)
    const look = this.tryTake('?=') ? '=' : this.tryTake('?!') ? '!' : null
    if (look === null) {
      if (/^\?<[=!]/.test(this.pattern.slice(this.at, this.at + 3)))
        throw this.error('lookbehind is not supported', position)
      const prefix = /^(?:\?:|\?P?<[A-Za-z_][A-Za-z_0-9]*>)/.exec(this.pattern.slice(this.at, this.at + 64))
      if (prefix !== null) this.at += prefix[0].length
      else if (this.pattern[this.at] === '?') throw this.error('this kind of group is not supported', position)
    }
    const item = this.parseChoice()
    if (!this.tryTake(')')) throw this.error('the group is not closed', position)
    this.depth--
    return look === null ? item : { type: 'lookahead', isNegative: look === '!', item, position }
  }

  private parseQuantifier(item: RegexNode, position: number): RegexNode {
    const range = this.takeRange(position)
    if (range === null) return item
    if (item.type === 'edge' || item.type === 'lookahead') throw this.error('an assertion cannot be repeated', position)
    // A lazy quantifier matches the same texts.
    if (!this.tryTake('?') && this.pattern[this.at] === '+')
      throw this.error('possessive quantifiers are not supported')
    const next = this.at
    if (this.takeRange(next) !== null) throw this.error('nothing to repeat', next)
    return { type: 'repeat', item, ...range }
  }

  private takeRange(position: number): { min: number; max: number | null } | null {
    if (this.tryTake('*')) return { min: 0, max: null }
    if (this.tryTake('+')) return { min: 1, max: null }
    if (this.tryTake('?')) return { min: 0, max: 1 }
    const counts = /^\{(\d{0,9})(,?)(\d{0,9})\}/.exec(this.pattern.slice(this.at, this.at + 24))
    if (counts === null || (counts[1] === '' && counts[3] === '')) return null
    this.at += counts[0].length
    const min = Number(counts[1])
    const max = counts[2] === '' ? min : counts[3] === '' ? null : Number(counts[3])
    if (Math.max(min, max ?? 0) > maxRepeat) throw this.error(`a repetition of more than ${maxRepeat} times`, position)
    if (max !== null && max < min) throw this.error('a repetition whose minimum is above its maximum', position)
    return { min, max }
  }

  private parseClass(position: number): CodePoints {
    const isNegative = this.tryTake('^')
    const parts: CodePoints[] = []
    for (;;) {
      if (this.at >= this.pattern.length) throw this.error('the character class is not closed', position)
      if (this.tryTake(']')) break
      const first = this.parseClassAtom()
      if (this.pattern[this.at] === '-' && ![']', undefined].includes(this.pattern[this.at + 1])) {
        const dash = this.at++
        const last = this.parseClassAtom()
        const [from, to] = [valueOf(first), valueOf(last)]
        if (from === null || to === null) throw this.error('a range needs a character at both ends', dash)
        if (from > to) throw this.error('a range whose ends are out of order', dash)
        parts.push(intersectionOf([[from, to]], allCodePoints))
      } else parts.push(first)
    }
    const set = unionOf(parts)
    return isNegative ? complementOf(set) : set
  }

  private parseClassAtom(): CodePoints {
    const position = this.at
    if (this.tryTake('\\')) return this.parseEscape(position, true)
    if (this.at >= this.pattern.length) throw this.error('the character class is not closed', position)
    return single(this.takeCharacter())
  }

  private parseEscape(position: number, isInClass: boolean): CodePoints {
    const letter = this.pattern[this.at] ?? ''
    if (letter === '') throw this.error('the pattern ends in a backslash', position)
    if (letter === 'u' || letter === 'x') return single(this.parseHex(position))
    this.at++
    const set = classEscapes.get(letter)
    if (set !== undefined) return set
    const simple = simpleEscapes.get(letter)
    if (simple !== undefined) return single(simple)
    if (letter === 'b' && isInClass) return single(0x08)
    if (letter === 'p' || letter === 'P') return this.parseProperty(position, letter === 'P')
    if (letter === '0' && isInClass) return single(0)
    if (/[1-9k]/.test(letter)) throw this.error('back references are not supported', position)
    if (/[A-Za-z0-9]/.test(letter)) throw this.error(`the escape \\${letter} is not supported`, position)
    this.at--
    return single(this.takeCharacter())
  }

  private parseHex(position: number): number {
    const rest = this.pattern.slice(this.at, this.at + 12)
    const digits =
      /^(?:x([0-9a-fA-F]{2})|u\{([0-9a-fA-F]{1,6})\}|u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|u([0-9a-fA-F]{4}))/.exec(
        rest,
      )
    if (digits === null) throw this.error('an escape without its hexadecimal digits', position)
    this.at += digits[0].length
    if (digits[3] !== undefined) {
      return 0x10000 + ((Number.parseInt(digits[3], 16) - 0xd800) << 10) + (Number.parseInt(digits[4]!, 16) - 0xdc00)
    }
    const codePoint = Number.parseInt(digits[1] ?? digits[2] ?? digits[5]!, 16)
    if (codePoint > 0x10ffff) throw this.error('an escape above U+10FFFF', position)
    return codePoint
  }

  private parseProperty(position: number, isNegative: boolean): CodePoints {
    const name = /^\{([^{}]{1,64})\}/.exec(this.pattern.slice(this.at, this.at + 66))
    const set = name === null ? null : tryUnicodeProperty(name[1]!)
    if (name === null || set === null) throw this.error('an unknown Unicode property', position)
    this.at += name[0].length
    return isNegative ? complementOf(set) : set
  }
}

/** A surrogate half is no character, and matches nothing that can be written. */
function single(codePoint: number): CodePoints {
  return [[codePoint, codePoint]]
}

function valueOf(set: CodePoints): number | null {
  return set.length === 1 && set[0]![0] === set[0]![1] ? set[0]![0] : null
}
