import { canonicalText, type JsonValue } from './alternative.ts'
import { exceptKey } from './own-alternatives.ts'
import { describe, type SchemaDocument, type SchemaObject, type Site } from './schema-document.ts'
import { schemaError } from './schema-error.ts'

const maxReferences = 32

/**
 * A schema whose values are all invalid by `site`'s: the keyword `not`. It may leave out values (numbers that are no
 * integers, arrays and objects other than a listed one), never add any.
 */
export function negate(site: Site, document: SchemaDocument, numReferences = 0): SchemaObject | boolean {
  const { schema } = site
  if (typeof schema === 'boolean') return !schema
  const ways: (SchemaObject | boolean)[] = []
  for (const keyword of Object.keys(schema)) {
    const negated = negateKeyword({ site, schema, keyword, document, numReferences })
    ways.push(...(negated ?? []))
  }
  return ways.length === 0 ? false : { anyOf: ways }
}

interface KeywordContext {
  readonly site: Site
  readonly schema: SchemaObject
  readonly keyword: string
  readonly document: SchemaDocument
  readonly numReferences: number
}

/** The ways to break one keyword; none for those that cannot be broken, as annotations. */
function negateKeyword(context: KeywordContext): readonly (SchemaObject | boolean)[] {
  const { schema, keyword, site } = context
  const value = schema[keyword]
  switch (keyword) {
    case 'type':
      return [{ type: otherTypes(Array.isArray(value) ? value : [value]) }].filter(({ type }) => type.length > 0)
    case 'const':
      return exceptValues([value as JsonValue])
    case 'enum':
      return exceptValues(Array.isArray(value) ? (value as JsonValue[]) : [])
    case 'minimum':
      return [{ type: 'number', exclusiveMaximum: value }]
    case 'maximum':
      return [{ type: 'number', exclusiveMinimum: value }]
    case 'exclusiveMinimum':
      return [{ type: 'number', maximum: value }]
    case 'exclusiveMaximum':
      return [{ type: 'number', minimum: value }]
    case 'minLength':
    case 'minItems':
    case 'minProperties':
      return typeof value === 'number' && value > 0
        ? [{ type: sizedType(keyword), [`max${keyword.slice(3)}`]: value - 1 }]
        : []
    case 'maxLength':
    case 'maxItems':
    case 'maxProperties':
      return typeof value === 'number' ? [{ type: sizedType(keyword), [`min${keyword.slice(3)}`]: value + 1 }] : []
    case 'pattern':
      return [{ type: 'string', [exceptKey]: { pattern: value } }]
    case 'required':
      return Array.isArray(value)
        ? value.map((name: unknown) => ({ type: 'object', properties: { [String(name)]: false } }))
        : []
    case 'properties':
      return negateProperties(context)
    case 'not':
      return [value as SchemaObject | boolean]
    case 'anyOf':
      return [{ allOf: (value as unknown[]).map((branch) => ({ not: branch })) }]
    case 'allOf':
      return (value as unknown[]).map((branch) => ({ not: branch }))
    case '$ref':
      return negateReference(context)
    default:
      return refuseUnlessHarmless(site, keyword)
  }
}

const negatable = 'type, const, enum, required, properties, pattern, lengths, ranges, anyOf, allOf, not and $ref'
const harmless =
  /^(?:\$(?:schema|id|anchor|dynamicAnchor|comment|defs)|definitions|title|description|default|examples?|deprecated|readOnly|writeOnly|content(?:MediaType|Encoding)|then|else|minContains|x-.*)$/

function refuseUnlessHarmless(site: Site, keyword: string): readonly SchemaObject[] {
  if (harmless.test(keyword)) return []
  throw schemaError([site.pointer, keyword], `cannot be negated, as "not", "if" and "else" need; only ${negatable} can`)
}

function negateProperties({ site, schema, document }: KeywordContext): readonly SchemaObject[] {
  const properties = schema['properties']
  if (typeof properties !== 'object' || properties === null) return []
  return Object.entries(properties).flatMap(([name, child]) =>
    child === true || document.child(site, child, `properties/${name}`).schema === true
      ? []
      : [{ type: 'object', required: [name], properties: { [name]: { not: child } } }],
  )
}

function negateReference({
  site,
  schema,
  document,
  numReferences,
}: KeywordContext): readonly (SchemaObject | boolean)[] {
  const target = document.resolve(site, schema['$ref'])
  if (numReferences >= maxReferences || target.resource !== site.resource) {
    throw schemaError(
      [site.pointer, '$ref'],
      `to ${describe(schema['$ref'])} cannot be negated, as "not", "if" and "else" need; write the schema there`,
    )
  }
  return [negate(target, document, numReferences + 1)]
}

const allTypes = ['object', 'array', 'string', 'number', 'boolean', 'null']

function otherTypes(types: readonly unknown[]): string[] {
  // Numbers that are no integers cannot be told from others that way: they are left out.
  return allTypes.filter((name) => !types.includes(name) && !(name === 'number' && types.includes('integer')))
}

function sizedType(keyword: string): string {
  return keyword.endsWith('Length') ? 'string' : keyword.endsWith('Items') ? 'array' : 'object'
}

function exceptValues(values: readonly JsonValue[]): readonly SchemaObject[] {
  const strings = values.filter((value) => typeof value === 'string')
  const numbers = values.filter((value) => typeof value === 'number').sort((a, b) => a - b)
  const others = [true, false, null].filter((value) => !values.some((other) => canonicalText(other) === String(value)))
  const hasArray = values.some((value) => Array.isArray(value))
  const hasObject = values.some((value) => typeof value === 'object' && value !== null && !Array.isArray(value))
  const gaps = numbers.map((value, index): SchemaObject => ({
    type: 'number',
    exclusiveMaximum: value,
    ...(index > 0 && { exclusiveMinimum: numbers[index - 1] }),
  }))
  return [
    ...(hasObject ? [] : [{ type: 'object' }]),
    ...(hasArray ? [] : [{ type: 'array' }]),
    strings.length === 0
      ? { type: 'string' }
      : { type: 'string', [exceptKey]: { pattern: `^(?:${strings.map(escapeRegex).join('|')})$` } },
    ...gaps,
    { type: 'number', ...(numbers.length > 0 && { exclusiveMinimum: numbers.at(-1) }) },
    ...others.map((value) => ({ const: value })),
  ]
}

function escapeRegex(text: string): string {
  return text.replaceAll(/[$()*+.?[\\\]^{|}]/g, '\\$&')
}
