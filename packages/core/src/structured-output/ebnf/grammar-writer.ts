import { InvalidRequestError } from '../../errors.ts'

/** What a grammar of ours may come to; the library compiles one of this size in a second or two. */
const maxGrammarLength = 400_000

/** Collects the rules of a grammar in xgrammar's EBNF. Rules of the same body are one. */
export class GrammarWriter {
  private readonly bodies = new Map<string, string>()
  private readonly lines: string[] = []
  private length = 0
  private numNames = 0

  /** A rule's name before its body is known, for rules that name each other. */
  reserve(hint: string): string {
    return `${hint}_${this.numNames++}`
  }

  define(name: string, body: string): void {
    const line = `${name} ::= ${body}\n`
    this.length += line.length
    if (this.length > maxGrammarLength) {
      throw new InvalidRequestError(
        [
          { field: 'structuredOutput' },
          `: its grammar has more than ${maxGrammarLength} characters; make it smaller: fewer values and properties, shorter patterns and counted repetitions`,
        ],
        'structuredOutput',
      )
    }
    this.lines.push(line)
  }

  /** A rule of this body: a new one, or that which has it already. */
  rule(hint: string, body: string): string {
    const known = this.bodies.get(body)
    if (known !== undefined) return known
    const name = this.reserve(hint)
    this.bodies.set(body, name)
    this.define(name, body)
    return name
  }

  /** A rule whose body names the rule itself. */
  recursiveRule(hint: string, bodyOf: (self: string) => string): string {
    const key = bodyOf(hint)
    const known = this.bodies.get(key)
    if (known !== undefined) return known
    const name = this.reserve(hint)
    this.bodies.set(key, name)
    this.define(name, bodyOf(name))
    return name
  }

  /** A rule of this body that the library does not put in the place of its name: one that begins with nothing. */
  guarded(body: string): string {
    return this.rule('way', `${this.rule('nothing', '""')} ${body}`)
  }

  /** The grammar that begins with `root`. */
  text(root: string): string {
    return `root ::= ${root}\n${this.lines.join('')}`
  }
}

/** A string literal of the EBNF; empty text has none and becomes `""`. */
export function literal(text: string): string {
  return `"${Array.from(text, escapeCharacter).join('')}"`
}

function escapeCharacter(character: string): string {
  const codePoint = character.codePointAt(0)!
  if (character === '"' || character === '\\') return `\\${character}`
  return codePoint >= 0x20 && codePoint < 0x7f ? character : escapeCode(codePoint)
}

/** As fixed digits: the library reads `\x` with as many as follow. */
function escapeCode(code: number): string {
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
}

/**
 * One byte out of ranges. web-xgrammar 0.1.27 takes the numbers of a class for bytes, not characters, as soon as a rule
 * becomes an automaton (cpp/grammar_functor.cc, `CharacterClass`); so characters above U+007F are written as their UTF-8.
 */
export function byteClass(ranges: readonly (readonly [number, number])[]): string {
  const parts = ranges.flatMap(([first, last]) =>
    first === last
      ? [classCode(first)]
      : last === first + 1
        ? [classCode(first), classCode(last)]
        : [`${classCode(first)}-${classCode(last)}`],
  )
  // A class of one number becomes a string, and a string's numbers are characters.
  return parts.length === 1 && ranges[0]![0] === ranges[0]![1] && ranges[0]![0] > 0x7f
    ? `[${parts[0]}${parts[0]}]`
    : `[${parts.join('')}]`
}

function classCode(code: number): string {
  const isPlain = (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a)
  return isPlain ? String.fromCharCode(code) : escapeCode(code)
}
