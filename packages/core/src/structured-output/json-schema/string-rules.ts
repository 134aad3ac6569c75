import {
  intersectDfas,
  lengthDfa,
  textsDfa,
  uniteDfas,
  emptyLanguage,
  minimizeDfa,
  type Dfa,
} from '../automaton/dfa.ts'
import { spellInJson } from '../automaton/byte-dfa.ts'
import { allCodePoints, intersectionOf, utf8Sequences } from '../automaton/code-points.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { byteClass, type GrammarWriter } from '../ebnf/grammar-writer.ts'
import type { Alternative, StringAlternative } from './alternative.ts'
import type { SchemaExpander } from './schema-expander.ts'
import { schemaError } from './schema-error.ts'

/**
 * Each length is a state, in which the library checks its whole vocabulary. Longer texts of a pattern or format with
 * bounds are not written; longer texts of bounds alone are counted by the library, without escapes.
 */
export const maxCountedLength = 128
/** More are not counted: a minimum above is refused, longer texts are not written. */
const maxRepeat = 20_000

const anyEscape = String.raw`"\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] | [dD] ([0-7] [0-9a-fA-F] [0-9a-fA-F] | [89abAB] [0-9a-fA-F] [0-9a-fA-F] "\\u" [dD] [c-fC-F] [0-9a-fA-F] [0-9a-fA-F])))`

/** EBNF of a string with its quotes; null where there is none. */
export function tryWriteString(
  alternative: StringAlternative,
  {
    writer,
    expander,
    pointer,
  }: { readonly writer: GrammarWriter; readonly expander: SchemaExpander; readonly pointer: string },
): string | null {
  const { minLength, maxLength, languages } = alternative
  if (maxLength !== null && maxLength < minLength) return null
  if (languages.length > 0) {
    const language = stringLanguage(alternative, expander, pointer)
    const text = tryWriteDfa(language, writer, { spell: spellInJson, tail: '"', hint: 'text', budget: expander.budget })
    return text === null ? null : `"\\"" ${text}`
  }
  const escape = writer.rule('escape', anyEscape)
  if (minLength === 0 && maxLength === null) return writer.rule('string', `"\\"" ${anyCharacters(writer, escape)}`)
  if (minLength > maxRepeat)
    throw schemaError([pointer, 'minLength'], `is ${minLength}; only up to ${maxRepeat} can be enforced`)
  if (Math.max(minLength, maxLength ?? 0) > maxCountedLength) {
    return writer.rule(
      'string',
      `"\\"" ${plainCharacter}{${minLength},${maxLength === null ? '' : Math.min(maxLength, maxRepeat)}} "\\""`,
    )
  }
  return writer.rule(
    'string',
    `"\\"" ${countedCharacters(writer, minLength, maxLength ?? anyCharacters(writer, escape))}`,
  )
}

/** Anything but quotes, backslashes and what JSON forbids. */
const plainCharacter = '[^\\u0000-\\u001f"\\\\]'

/**
 * From `min` characters to `max`, or on to a rule without a bound, up to the closing quote. Each character's rule ends in
 * the next's, not in its own end (that of UTF-8, without rules in it, is put in its place by the library): so it knows
 * beforehand which tokens fit.
 */
function countedCharacters(writer: GrammarWriter, min: number, max: number | string): string {
  const sequences = utf8Sequences(intersectionOf([[0x80, 0x10ffff]], allCodePoints))
  const utf8 = writer.rule(
    'utf8',
    sequences.map((bytes) => bytes.map((range) => byteClass([range])).join(' ')).join(' | '),
  )
  const last = typeof max === 'number' ? max : min
  let next = typeof max === 'number' ? '"\\""' : max
  for (let count = last - 1; count >= 0; count--) {
    const ways = [`[\\u0020!#-\\u005b\\u005d-\\u007f] ${next}`, `${utf8} ${next}`, `"\\\\" ["\\\\/bfnrt] ${next}`]
    if (count >= min) ways.push('"\\""')
    next = writer.rule('char', ways.join(' | '))
  }
  return next
}

/** Characters up to the closing quote: a loop in one rule, in which the library knows most tokens beforehand. */
function anyCharacters(writer: GrammarWriter, escape: string): string {
  return writer.recursiveRule('text', (self) => `${plainCharacter}* ("\\"" | ${escape} ${self})`)
}

/** The values of a string alternative as an automaton. */
export function stringLanguage(
  { minLength, maxLength, languages }: StringAlternative,
  expander: SchemaExpander,
  pointer: string,
): Dfa {
  const language = expander.intersectLanguages(languages)
  if (minLength === 0 && maxLength === null) return language
  if (minLength > maxCountedLength) {
    throw schemaError(
      [pointer, 'minLength'],
      `is ${minLength}; beside "pattern", "format" or for names only up to ${maxCountedLength} can be enforced`,
    )
  }
  const { budget } = expander
  const most = maxLength === null ? null : Math.min(maxLength, maxCountedLength)
  return minimizeDfa(intersectDfas(language, lengthDfa(minLength, most, budget), budget), budget)
}

/** The strings among some alternatives as an automaton. */
export function languageOf(alternatives: readonly Alternative[], expander: SchemaExpander, pointer: string): Dfa {
  const { budget } = expander
  const texts = alternatives.flatMap((alternative) =>
    alternative.type === 'const' && typeof alternative.value === 'string' ? [alternative.value] : [],
  )
  return alternatives
    .filter((alternative) => alternative.type === 'string')
    .map((alternative) => stringLanguage(alternative, expander, pointer))
    .reduce((a, b) => uniteDfas(a, b, budget), texts.length === 0 ? emptyLanguage : textsDfa(texts, budget))
}
