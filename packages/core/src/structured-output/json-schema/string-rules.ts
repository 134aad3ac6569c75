import { intersectDfas, lengthDfa, textsDfa, uniteDfas, emptyLanguage, minimizeDfa, type Dfa } from '../automaton/dfa.ts'
import { spellInJson, spellPlain } from '../automaton/byte-dfa.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import type { GrammarWriter } from '../ebnf/grammar-writer.ts'
import type { Alternative, StringAlternative } from './alternative.ts'
import type { SchemaExpander } from './schema-expander.ts'
import { schemaError } from './schema-error.ts'

/** Longer texts of a pattern or format with bounds are not written: each length is a state. */
const maxCountedLength = 512
/** More are not counted: a minimum above is refused, longer texts are not written. */
const maxRepeat = 20_000

const anyEscape = String.raw`"\\" (["\\/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] | [dD] ([0-7] [0-9a-fA-F] [0-9a-fA-F] | [89abAB] [0-9a-fA-F] [0-9a-fA-F] "\\u" [dD] [c-fC-F] [0-9a-fA-F] [0-9a-fA-F])))`

/** One character that UTF-8 writes with several bytes. */
const beyondAscii: Dfa = {
  states: [
    {
      isAccepting: false,
      edges: [
        { first: 0x80, last: 0xd7ff, to: 1 },
        { first: 0xe000, last: 0x10ffff, to: 1 },
      ],
    },
    { isAccepting: true, edges: [] },
  ],
}

/** EBNF of a string with its quotes; null where there is none. */
export function tryWriteString(
  alternative: StringAlternative,
  { writer, expander, pointer }: { readonly writer: GrammarWriter; readonly expander: SchemaExpander; readonly pointer: string },
): string | null {
  const { minLength, maxLength, languages } = alternative
  if (maxLength !== null && maxLength < minLength) return null
  if (languages.length > 0) {
    const language = stringLanguage(alternative, expander, pointer)
    const text = tryWriteDfa(language, writer, { spell: spellInJson, tail: '"', hint: 'text', budget: expander.budget })
    return text === null ? null : `"\\"" ${text}`
  }
  const escape = writer.rule('escape', anyEscape)
  if (minLength === 0 && maxLength === null) return writer.rule('string', `"\\"" ([^\\u0000-\\u001f"\\\\] | ${escape})* "\\""`)
  if (minLength > maxRepeat) throw schemaError(pointer, 'minLength', `is ${minLength}; only up to ${maxRepeat} can be enforced`)
  const utf8 = tryWriteDfa(beyondAscii, writer, { spell: spellPlain, tail: '', hint: 'utf8', budget: expander.budget })
  const character = writer.rule('char', `[\\u0020!#-\\u005b\\u005d-\\u007f] | ${utf8} | ${escape}`)
  return writer.rule('string', `"\\"" ${character}{${minLength},${maxLength === null ? '' : Math.min(maxLength, maxRepeat)}} "\\""`)
}

/** The values of a string alternative as an automaton. */
export function stringLanguage({ minLength, maxLength, languages }: StringAlternative, expander: SchemaExpander, pointer: string): Dfa {
  const language = expander.intersectLanguages(languages)
  if (minLength === 0 && maxLength === null) return language
  if (minLength > maxCountedLength) {
    throw schemaError(pointer, 'minLength', `is ${minLength}; beside "pattern", "format" or for names only up to ${maxCountedLength} can be enforced`)
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
