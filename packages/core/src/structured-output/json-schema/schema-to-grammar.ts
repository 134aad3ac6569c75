import { InvalidRequestError } from '../../errors.ts'
import { WorkBudget } from '../work-budget.ts'
import { findOverlapping } from './exclusive.ts'
import { SchemaDocument, type Site } from './schema-document.ts'
import { schemaError } from './schema-error.ts'
import { SchemaExpander } from './schema-expander.ts'
import type { SchemaGrammarOptions } from './schema-grammar-options.ts'
import { SchemaWriter } from './schema-writer.ts'

/**
 * EBNF (rule `root`) of JSON texts that are valid by `schema`: an object, a boolean, or its JSON text.
 * @throws InvalidRequestError that names the JSON pointer, the keyword and the remedy.
 */
export function schemaToGrammar(schema: unknown, options: SchemaGrammarOptions): string {
  const document = new SchemaDocument(schema)
  const budget = new WorkBudget('the schema')
  const expander = new SchemaExpander(document, { options, budget, overlapping: new Set() })
  const grammar = new SchemaWriter(expander).write()
  const overlapping = findOverlapping(expander)
  return overlapping.length === 0 ? grammar : tryExact(document, { options, budget, overlapping: new Set(overlapping) })
}

/** Where branches of a `oneOf` may share values: each without the others'. */
function tryExact(
  document: SchemaDocument,
  context: { options: SchemaGrammarOptions; budget: WorkBudget; overlapping: ReadonlySet<Site> },
): string {
  try {
    const expander = new SchemaExpander(document, context)
    const grammar = new SchemaWriter(expander).write()
    const [others] = findOverlapping(expander)
    if (others !== undefined) throw overlaps(others)
    return grammar
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error
    throw overlaps([...context.overlapping][0]!, error)
  }
}

function overlaps(site: Site, cause?: unknown): InvalidRequestError {
  const remedy = 'use "anyOf", or give each branch a required property with a "const" of its own'
  return schemaError(
    [site.pointer, 'oneOf'],
    `has branches that a value might both match, and they cannot be told apart; ${remedy}`,
    { cause },
  )
}

/** EBNF (rule `root`) of any JSON object. */
export function jsonObjectGrammar(options: SchemaGrammarOptions): string {
  return schemaToGrammar({ type: 'object' }, options)
}
