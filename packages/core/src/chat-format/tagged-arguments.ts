import { choiceGrammar } from '../structured-output/regex/choice-grammar.ts'
import { encodePointer } from '../structured-output/json-schema/schema-document.ts'
import type { TagFormat } from '../structured-output/structural-tag.ts'
import { type ArgumentsContext, type Schema, toolError } from './arguments-context.ts'
import type { TaggedCallSyntax } from './chat-format.ts'
import { joinFormats, nothing } from './join-formats.ts'
import { propertiesOf } from './properties-of.ts'
import { isText, typesOf, type ValueTypes } from './tagged-value.ts'
import { wordsOf } from './words-of.ts'

type Parameter = TaggedCallSyntax['parameter']
type Parts = readonly (string | TagFormat)[]

/** What text between tags cannot be held to. */
const textKeywords = ['pattern', 'format', 'minLength', 'maxLength'] as const

/** Parameters between tags, in the order of the schema, optional ones left out or not. */
export function taggedArguments({ parameter }: TaggedCallSyntax, context: ArgumentsContext): Parts {
  const { begin, separator } = parameter
  const properties = propertiesOf(context.parameters)
  if (properties.length === 0) return anyParameters(parameter, context)
  return properties.flatMap(({ key, schema, isRequired }, i): Parts => {
    const keyEnd = keyEndOf(typesOf(schema, context.parameters), parameter)
    const value = valueOf(key, schema, { parameter, context })
    const parts = [i === 0 ? '' : separator, `${begin}${key}`, keyEnd, ...value]
    return isRequired ? parts : [{ type: 'or', elements: [joinFormats(parts), nothing] }]
  })
}

function keyEndOf(types: ValueTypes, { keyEnd, valueKeyEnd }: Parameter): string | TagFormat {
  if (valueKeyEnd === null || isText(types)) return keyEnd
  if (types !== null && !types.has('string')) return valueKeyEnd
  return { type: 'or', elements: [keyEnd, valueKeyEnd].map((value) => ({ type: 'const_string', value })) }
}

/** The library takes no list of open length in the middle of a call. */
const maxUnnamed = 8

/** A tool that names no parameters, but takes some. */
function anyParameters(parameter: Parameter, { parameters }: ArgumentsContext): Parts {
  if (parameters['additionalProperties'] === false || parameters['properties'] !== undefined) return [nothing]
  const { begin, end, separator } = parameter
  const key: TagFormat = { type: 'regex', pattern: '[A-Za-z0-9_.-]{1,64}' }
  const one = [begin, key, keyEndOf(null, parameter), ...textUntil(end)]
  return Array.from({ length: maxUnnamed }, (_, i): TagFormat => {
    return { type: 'or', elements: [joinFormats(i === 0 ? one : [separator, ...one]), nothing] }
  })
}

/** Any text up to the tag that ends it, and what the template writes behind that. */
function textUntil(end: string): Parts {
  const [word = end] = wordsOf(end)
  const rest = end.slice(end.indexOf(word) + word.length)
  return [{ type: 'tag', begin: '', content: { type: 'any_text' }, end: word }, rest]
}

interface ValueOptions {
  readonly parameter: Parameter
  readonly context: ArgumentsContext
}

function valueOf(key: string, schema: unknown, { parameter: { end }, context }: ValueOptions): Parts {
  const { grammarOf, isHeld, parameters, tool } = context
  const types = typesOf(schema, parameters)
  if (!isHeld || types === null) return textUntil(end)
  if (!types.has('string')) return [grammarOf(withDefinitions(schema as Schema, parameters)), end]
  const { enum: members, const: constant } = schema as Schema
  const texts = Array.isArray(members) ? members : constant === undefined ? null : [constant]
  if (texts !== null && texts.every((text) => typeof text === 'string')) {
    return [{ type: 'grammar', grammar: choiceGrammar(texts as string[]) }, end]
  }
  const keyword = textKeywords.find((name) => (schema as Schema)[name] !== undefined)
  if (keyword === undefined) return textUntil(end)
  throw toolError(
    tool,
    ` has "${keyword}" at ${JSON.stringify(`/properties/${encodePointer(key)}`)}: this model writes strings without quotes, which cannot be held to it. Leave the keyword out, or use an enum.`,
  )
}

/** References of a part lead to the whole schema's definitions. */
function withDefinitions(schema: Schema, root: Schema): Schema {
  const { $defs, definitions } = root
  return { ...($defs !== undefined && { $defs }), ...(definitions !== undefined && { definitions }), ...schema }
}
