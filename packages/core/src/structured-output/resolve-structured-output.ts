import { InvalidRequestError, type MessagePart } from '../errors.ts'
import { checkStructuralTag } from './check-structural-tag.ts'
import { checkGrammar } from './ebnf/check-grammar.ts'
import type { SchemaGrammarOptions } from './json-schema/schema-grammar-options.ts'
import { jsonObjectGrammar, schemaToGrammar } from './json-schema/schema-to-grammar.ts'
import { choiceGrammar } from './regex/choice-grammar.ts'
import { regexToGrammar } from './regex/regex-to-grammar.ts'
import type { StructuredOutput } from './structured-output.ts'
import type { TagFormat } from './structural-tag.ts'

const maxChoices = 4096
/** Of all choices together, and of a regex. */
const maxLength = 65_536

/**
 * What is asked for as a grammar, checked.
 * @throws InvalidRequestError naming what is wrong with it, in the field `structuredOutput`
 */
export function resolveStructuredOutput(wanted: StructuredOutput): TagFormat {
  const fields: Readonly<Record<string, unknown>> = wanted // what types promise, JavaScript does not keep
  if (typeof wanted !== 'object') fail(` must be an object with a type, got ${typeof wanted}.`)
  switch (wanted.type) {
    case 'json':
      if (wanted.schema === undefined) fail(' of type json needs a schema.')
      return { type: 'grammar', grammar: schemaToGrammar(wanted.schema, optionsOf(wanted)) }
    case 'jsonObject':
      return { type: 'grammar', grammar: jsonObjectGrammar(optionsOf(wanted)) }
    case 'regex':
      return { type: 'grammar', grammar: regexToGrammar(textOf(fields, 'pattern')) }
    case 'choice':
      return choiceFormat(wanted.choices)
    case 'grammar':
      return { type: 'grammar', grammar: checkGrammar(textOf(fields, 'grammar')) }
    case 'structuralTag':
      return checkStructuralTag(wanted.tag, optionsOf({}))
    default:
      return fail(
        ` has type ${JSON.stringify(fields['type'])}; the known ones are json, jsonObject, regex, choice, grammar and structuralTag.`,
      )
  }
}

function optionsOf({
  anyWhitespace = true,
  additionalProperties = true,
}: {
  readonly anyWhitespace?: boolean
  readonly additionalProperties?: boolean
}): SchemaGrammarOptions {
  return { allowWhitespace: anyWhitespace, disableAdditionalProperties: !additionalProperties }
}

function textOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const text = fields[name]
  if (typeof text !== 'string') fail(` of type ${String(fields['type'])} needs a ${name} (a text), got ${typeof text}.`)
  if (text.length > maxLength)
    fail(` has a ${name} of ${text.length} characters; at most ${maxLength} are allowed. Make it shorter.`)
  return text
}

function choiceFormat(choices: readonly string[]): TagFormat {
  if (!Array.isArray(choices) || choices.length === 0)
    fail(' of type choice needs a list of texts, and not an empty one.')
  if (choices.length > maxChoices)
    fail(` has ${choices.length} choices; at most ${maxChoices} are allowed. Offer fewer.`)
  for (const choice of choices) {
    if (typeof choice !== 'string' || !choice.isWellFormed() || choice.includes('\0'))
      fail(` has a choice that is no text of whole characters (and without NUL): ${JSON.stringify(choice)}.`)
  }
  const length = choices.reduce((total, choice) => total + choice.length, 0)
  if (length > maxLength) fail(` has choices of ${length} characters; at most ${maxLength} are allowed. Shorten them.`)
  return { type: 'grammar', grammar: choiceGrammar([...new Set(choices)]) }
}

function fail(reason: string): never {
  const message: MessagePart[] = [{ field: 'structuredOutput' }, reason]
  throw new InvalidRequestError(message, 'structuredOutput')
}
