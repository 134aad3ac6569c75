import { describe, type SchemaObject, type Site } from './schema-document.ts'
import { schemaError } from './schema-error.ts'

/** Say nothing about validity. */
const annotations = new Set([
  '$schema',
  '$id',
  '$anchor',
  '$dynamicAnchor',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'example',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  'contentMediaType',
  'contentEncoding',
  'discriminator',
  'externalDocs',
])

export const enforcedKeywords: ReadonlySet<string> = new Set([
  '$ref',
  'additionalItems',
  'additionalProperties',
  'allOf',
  'anyOf',
  'const',
  'contains',
  'dependencies',
  'dependentRequired',
  'dependentSchemas',
  'else',
  'enum',
  'exclusiveMaximum',
  'exclusiveMinimum',
  'format',
  'if',
  'items',
  'maxContains',
  'maxItems',
  'maxLength',
  'maxProperties',
  'maximum',
  'minContains',
  'minItems',
  'minLength',
  'minProperties',
  'minimum',
  'multipleOf',
  'not',
  'oneOf',
  'pattern',
  'patternProperties',
  'prefixItems',
  'properties',
  'propertyNames',
  'required',
  'then',
  'type',
  'unevaluatedItems',
  'unevaluatedProperties',
  'uniqueItems',
])

const remedies: ReadonlyMap<string, string> = new Map([
  ['nullable', 'is OpenAPI\'s; write "type": [..., "null"] instead'],
  ['id', 'is draft-04\'s; write "$id" instead'],
  ['divisibleBy', 'is draft-03\'s; write "multipleOf" instead'],
  ['$dynamicRef', 'is not supported; write "$ref" instead'],
  ['$recursiveRef', 'is not supported; write "$ref" instead'],
  ['$vocabulary', 'is not supported; leave it out'],
  ['contentSchema', 'is not enforced; leave it out'],
])

/** Refuses keywords that would not be enforced. */
export function checkKeywords(site: Site): void {
  if (typeof site.schema === 'boolean') return
  for (const name of Object.keys(site.schema)) {
    if (annotations.has(name) || enforcedKeywords.has(name) || name.startsWith('x-')) continue
    throw schemaError(
      [site.pointer, name.slice(0, 100)],
      remedies.get(name) ?? 'is no keyword that can be enforced; leave it out',
    )
  }
}

export function readCount(schema: SchemaObject, keyword: string, site: Site): number | null {
  const value = schema[keyword]
  if (value === undefined) return null
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be a whole number from 0 to 2^53`)
}

export function readNumber(schema: SchemaObject, keyword: string, site: Site): number | null {
  const value = schema[keyword]
  if (value === undefined) return null
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be a number`)
}

export function readString(schema: SchemaObject, keyword: string, site: Site): string | null {
  const value = schema[keyword]
  if (value === undefined) return null
  if (typeof value === 'string') return value
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be a string`)
}

export function readNames(value: unknown, keyword: string, site: Site): readonly string[] {
  if (value === undefined) return []
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return [...new Set<string>(value)]
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be a list of strings`)
}

export function readList(schema: SchemaObject, keyword: string, site: Site): readonly unknown[] | null {
  const value = schema[keyword]
  if (value === undefined) return null
  if (Array.isArray(value) && value.length > 0) return value
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be a list that is not empty`)
}

export function readEntries(
  schema: SchemaObject,
  keyword: string,
  site: Site,
): readonly (readonly [string, unknown])[] {
  const value = schema[keyword]
  if (value === undefined) return []
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.entries(value)
  throw schemaError([site.pointer, keyword], `is ${describe(value)}; it must be an object`)
}
