import type { JsonInput, StructuredOutput } from '@octavo/core'
import type { ChatCompletionRequest, GenerationOptions, ResponseFormat, StructuredOutputs } from '@octavo/sdk/protocol'
import type { JsonSource } from '../json-source.ts'

/**
 * What a request says that its output must be; with the body's text at hand, numbers and the order of keys stay as they
 * were written.
 */
export function structuredOutput(options: GenerationOptions, body?: JsonSource): StructuredOutput | undefined {
  const { response_format: format, structured_outputs: constraint } = options
  if (constraint != null) return fromConstraint(constraint, body?.member('structured_outputs'))
  return format == null ? undefined : fromFormat(format, body?.member('response_format'))
}

/** Whether a grammar may hold the output. */
export function mayHaveGrammar({ tools, tool_choice: choice, ...options }: GenerationOptions & ToolFields): boolean {
  if (structuredOutput(options) !== undefined) return true
  if (tools == null || choice === 'none') return false
  return (choice != null && choice !== 'auto') || tools.some((tool) => tool.function.strict === true)
}

type ToolFields = Pick<ChatCompletionRequest, 'tools' | 'tool_choice'>

function fromFormat(format: ResponseFormat, source: JsonSource | undefined): StructuredOutput | undefined {
  switch (format.type) {
    case 'text':
      return undefined
    case 'json_object':
      return { type: 'jsonObject' }
    case 'json_schema':
      return {
        type: 'json',
        schema: written(format.json_schema.schema, source?.member('json_schema')?.member('schema')),
      }
    case 'structural_tag':
      return { type: 'structuralTag', tag: source?.text ?? format }
  }
}

function fromConstraint(constraint: StructuredOutputs, source: JsonSource | undefined): StructuredOutput | undefined {
  const { json, regex, choice, grammar, json_object: isObject, structural_tag: tag } = constraint
  const whitespace = constraint.disable_any_whitespace === true ? { anyWhitespace: false } : {}
  if (json != null) {
    const additional = constraint.disable_additional_properties === true ? { additionalProperties: false } : {}
    return { type: 'json', schema: written(json, source?.member('json')), ...whitespace, ...additional }
  }
  if (isObject === true) return { type: 'jsonObject', ...whitespace }
  if (regex != null) return { type: 'regex', pattern: regex }
  if (choice != null) return { type: 'choice', choices: choice }
  if (grammar != null) return { type: 'grammar', grammar }
  if (tag == null) return undefined
  return { type: 'structuralTag', tag: typeof tag === 'string' ? tag : (source?.member('structural_tag')?.text ?? tag) }
}

/** A string is JSON text itself. */
function written(value: JsonInput, source: JsonSource | undefined): JsonInput {
  return typeof value === 'string' ? value : (source?.text ?? value)
}
