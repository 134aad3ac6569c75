import { WorkBudget } from '../work-budget.ts'
import { proveExclusive } from './exclusive.ts'
import { SchemaDocument } from './schema-document.ts'
import { SchemaExpander } from './schema-expander.ts'
import type { SchemaGrammarOptions } from './schema-grammar-options.ts'
import { SchemaWriter } from './schema-writer.ts'

/**
 * EBNF (rule `root`) of JSON texts that are valid by `schema`: an object, a boolean, or its JSON text.
 * @throws InvalidRequestError that names the JSON pointer, the keyword and the remedy.
 */
export function schemaToGrammar(schema: unknown, options: SchemaGrammarOptions): string {
  const expander = new SchemaExpander(new SchemaDocument(schema), options, new WorkBudget('the schema'))
  const grammar = new SchemaWriter(expander).write()
  proveExclusive(expander)
  return grammar
}

/** EBNF (rule `root`) of any JSON object. */
export function jsonObjectGrammar(options: SchemaGrammarOptions): string {
  return schemaToGrammar({ type: 'object' }, options)
}
