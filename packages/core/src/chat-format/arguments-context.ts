import { InvalidRequestError } from '../errors.ts'
import { schemaToGrammar } from '../structured-output/json-schema/schema-to-grammar.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'

export type Schema = Readonly<Record<string, unknown>>

/** What stands in a call for its arguments, for schemas of one tool. */
export interface ArgumentsContext {
  readonly tool: string
  readonly parameters: Schema
  /** The schema is to be held in full; otherwise as far as the dialect can. */
  readonly isHeld: boolean
  readonly grammarOf: (schema: Schema) => TagFormat
}

/** How the arguments of a tool are to be written. */
export function createArgumentsContext(
  { function: { name, parameters } }: ToolDefinition,
  isHeld: boolean,
): ArgumentsContext {
  // A tool without parameters takes none.
  const schema: Schema = parameters ?? { type: 'object', properties: {}, additionalProperties: false }
  const whole: Schema = schema['type'] === undefined ? { ...schema, type: 'object' } : schema
  if (whole['type'] !== 'object')
    throw toolError(name, ` must have parameters of the type "object", got ${JSON.stringify(whole['type'])}.`)
  const grammarOf = (part: Schema): TagFormat => ({ type: 'grammar', grammar: toGrammar(name, part) })
  return { tool: name, parameters: whole, isHeld, grammarOf }
}

function toGrammar(tool: string, schema: Schema): string {
  try {
    return schemaToGrammar(schema, { allowWhitespace: true, disableAdditionalProperties: false })
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error
    const [, ...rest] = error.parts ?? []
    throw new InvalidRequestError(
      [{ field: 'tools' }, ` has a tool ${JSON.stringify(tool)} whose parameters cannot be held`, ...rest],
      'tools',
      {
        cause: error,
      },
    )
  }
}

export function toolError(tool: string, reason: string): InvalidRequestError {
  return new InvalidRequestError([{ field: 'tools' }, `: the tool ${JSON.stringify(tool)}${reason}`], 'tools')
}
