import { TokenizerError } from '../errors.ts'
import type { JsonObject } from '../util/json-object.ts'
import { OnigurumaParser } from './oniguruma-parser.ts'
import { readObject, readString } from './read-json.ts'

const maxPatternLength = 65_536

export interface Pattern {
  /** Global; the caller resets `lastIndex`. */
  readonly regex: RegExp
  /** The text itself, where the pattern is a plain one. */
  readonly literal: string | null
  /** Whether its time is at most quadratic in the text's length; a backtracking pattern may take for ever. */
  readonly isPredictable: boolean
}

/** tokenizer.json holds Oniguruma regular expressions (Ruby's syntax), which JavaScript must be told in its own terms. */
export function compileOniguruma(source: string): Pattern {
  if (source.length > maxPatternLength) {
    throw new TokenizerError(
      `tokenizer.json has a pattern of ${source.length} characters; at most ${maxPatternLength} are allowed.`,
    )
  }
  try {
    const { text, isPredictable } = new OnigurumaParser(source).parse()
    return { regex: new RegExp(text, 'gv'), literal: null, isPredictable }
  } catch (error) {
    throw new TokenizerError(
      `tokenizer.json has a pattern that JavaScript cannot express: ${source.slice(0, 200)}${error instanceof TokenizerError ? ` (${error.message})` : ''}`,
      { cause: error },
    )
  }
}

/** `{ "String": … }` or `{ "Regex": … }`. */
export function compilePattern(config: JsonObject): Pattern {
  const pattern = readObject(config, 'pattern') ?? {}
  const literal = readString(pattern, 'String')
  if (literal !== null) return { regex: new RegExp(escapeRegExp(literal), 'gu'), literal, isPredictable: true }
  const source = readString(pattern, 'Regex')
  if (source === null) throw new TokenizerError('tokenizer.json: "pattern" must have "String" or "Regex".')
  return compileOniguruma(source)
}

export function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** Where the pattern matches, in a row; an empty match right after another one does not count. */
export function findMatches({ regex }: Pick<Pattern, 'regex'>, text: string): number[] {
  const found: number[] = []
  let lastEnd = -1
  regex.lastIndex = 0
  for (let match = regex.exec(text); match !== null; match = regex.exec(text)) {
    const start = match.index
    const end = start + match[0].length
    if (end === start) {
      const isPair = (text.codePointAt(end) ?? 0) > 0xffff
      regex.lastIndex = end + (isPair ? 2 : 1)
      if (end === lastEnd) continue
    }
    found.push(start, end)
    lastEnd = end
  }
  return found
}
