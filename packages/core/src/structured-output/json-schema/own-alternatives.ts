import type { Dfa } from '../automaton/dfa.ts'
import {
  anyArray,
  anyNumber,
  anyObject,
  anyString,
  anyValue,
  type Alternative,
  type ArrayAlternative,
  type Bound,
  type NumberAlternative,
  type ObjectAlternative,
  type StringAlternative,
} from './alternative.ts'
import { freeFormats, numberFormats, stringFormats } from './formats.ts'
import { readCount, readEntries, readList, readNames, readNumber, readString } from './keywords.ts'
import {
  describe,
  encodePointer,
  isObject,
  type SchemaDocument,
  type SchemaObject,
  type Site,
} from './schema-document.ts'
import type { SchemaGrammarOptions } from './schema-grammar-options.ts'
import { schemaError } from './schema-error.ts'

/** Texts that a schema rules out, where it was made up as the negation of another: no JSON can write this key. */
export const exceptKey = Symbol('except')
export interface Except {
  readonly pattern: string
}

export interface OwnContext {
  readonly document: SchemaDocument
  readonly options: SchemaGrammarOptions
  /** The automaton of a pattern or format. */
  language(kind: 'pattern' | 'format' | 'except', text: string, site: Site): Dfa
}

const typeNames = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
type TypeName = (typeof typeNames)[number]

/** What `type` and the keywords of each type allow; without `type`, keywords bind values of their own type only. */
export function ownAlternatives(site: Site, schema: SchemaObject, context: OwnContext): readonly Alternative[] {
  const types = readTypes(schema, site)
  const allows = (...names: TypeName[]): boolean => types === null || names.some((name) => types.has(name))
  const object = objectOf(site, schema, context)
  const array = arrayOf(site, schema, context)
  const string = stringOf(site, schema, context)
  const number = numberOf(site, schema, types !== null && !types.has('number'))
  return anyValue.flatMap((any): readonly Alternative[] => {
    switch (any.type) {
      case 'object':
        return allows('object') ? [object] : []
      case 'array':
        return allows('array') ? [array] : []
      case 'string':
        return allows('string') ? [string] : []
      case 'number':
        return allows('number', 'integer') ? [number] : []
      default:
        return allows(any.value === null ? 'null' : 'boolean') ? [any] : []
    }
  })
}

function readTypes(schema: SchemaObject, site: Site): ReadonlySet<string> | null {
  const value = schema['type']
  if (value === undefined) return null
  const names = Array.isArray(value) ? value : [value]
  const unknown = names.find((name) => !typeNames.includes(name))
  if (names.length === 0 || unknown !== undefined) {
    throw schemaError(
      [site.pointer, 'type'],
      `is ${describe(value)}; it must be one or a list of ${typeNames.join(', ')}`,
    )
  }
  return new Set(names)
}

function numberOf(site: Site, schema: SchemaObject, isInteger: boolean): NumberAlternative {
  const bounds = (inclusive: string, exclusive: string): Bound[] => {
    const [including, excluding] = [readNumber(schema, inclusive, site), readNumber(schema, exclusive, site)]
    return [
      ...(including === null ? [] : [{ value: including, isExclusive: false }]),
      ...(excluding === null ? [] : [{ value: excluding, isExclusive: true }]),
    ]
  }
  const range = typeof schema['format'] === 'string' ? numberFormats.get(schema['format']) : undefined
  const isIntegerFormat = range !== undefined && range !== null
  const divisor = readNumber(schema, 'multipleOf', site)
  if (divisor !== null && (!Number.isSafeInteger(divisor) || divisor <= 0)) {
    throw schemaError(
      [site.pointer, 'multipleOf'],
      `is ${divisor}; only positive integers can be enforced: leave it out, or count in smaller units`,
    )
  }
  const lower = [
    ...bounds('minimum', 'exclusiveMinimum'),
    ...(isIntegerFormat ? [{ value: range[0], isExclusive: false }] : []),
  ]
  const upper = [
    ...bounds('maximum', 'exclusiveMaximum'),
    ...(isIntegerFormat ? [{ value: range[1], isExclusive: false }] : []),
  ]
  return {
    ...anyNumber,
    isInteger: isInteger || divisor !== null || isIntegerFormat,
    min: lower.reduce(higherBound, null),
    max: upper.reduce(lowerBound, null),
    divisors: divisor === null ? [] : [divisor],
  }
}

export function higherBound(a: Bound | null, b: Bound | null): Bound | null {
  if (a === null || b === null) return a ?? b
  if (a.value !== b.value) return a.value > b.value ? a : b
  return a.isExclusive ? a : b
}

export function lowerBound(a: Bound | null, b: Bound | null): Bound | null {
  if (a === null || b === null) return a ?? b
  if (a.value !== b.value) return a.value < b.value ? a : b
  return a.isExclusive ? a : b
}

function stringOf(site: Site, schema: SchemaObject, context: OwnContext): StringAlternative {
  const languages: Dfa[] = []
  const pattern = readString(schema, 'pattern', site)
  if (pattern !== null) languages.push(context.language('pattern', pattern, site))
  const format = readString(schema, 'format', site)
  if (format !== null && stringFormats.has(format)) languages.push(context.language('format', format, site))
  else if (format !== null && !freeFormats.has(format) && !numberFormats.has(format)) {
    throw schemaError(
      [site.pointer, 'format'],
      `is ${describe(format)}; only ${[...stringFormats.keys(), ...numberFormats.keys(), ...freeFormats].join(', ')} can be enforced: leave it out, or write a "pattern"`,
    )
  }
  const except = schema[exceptKey] as Except | undefined
  if (except !== undefined) languages.push(context.language('except', except.pattern, site))
  return {
    ...anyString,
    minLength: readCount(schema, 'minLength', site) ?? 0,
    maxLength: readCount(schema, 'maxLength', site),
    languages,
  }
}

function arrayOf(site: Site, schema: SchemaObject, { document }: OwnContext): ArrayAlternative {
  const isDraft7 = Array.isArray(schema['items'])
  const prefix = isDraft7 ? (schema['items'] as unknown[]) : (readList(schema, 'prefixItems', site) ?? [])
  if (isDraft7 && schema['prefixItems'] !== undefined) {
    throw schemaError([site.pointer, 'items'], 'is a list beside "prefixItems"; write the list as "prefixItems" alone')
  }
  // Draft-07's additionalItems says nothing unless items is a list.
  const rest = isDraft7 ? schema['additionalItems'] : schema['items']
  const restName = isDraft7 ? 'additionalItems' : 'items'
  const unevaluated = schema['unevaluatedItems']
  const isUnevaluated = rest === undefined && unevaluated !== undefined && unevaluated !== true
  if (isUnevaluated) refuseBesideApplicators(site, schema, 'unevaluatedItems')
  const restSchema = isUnevaluated ? unevaluated : rest
  const layer = {
    prefix: prefix.map((item, index) => document.child(site, item, `${isDraft7 ? 'items' : 'prefixItems'}/${index}`)),
    items:
      restSchema === undefined ? null : document.child(site, restSchema, isUnevaluated ? 'unevaluatedItems' : restName),
  }
  if (typeof (schema['uniqueItems'] ?? false) !== 'boolean') {
    throw schemaError([site.pointer, 'uniqueItems'], `is ${describe(schema['uniqueItems'])}; it must be true or false`)
  }
  return {
    ...anyArray,
    layers: layer.prefix.length === 0 && layer.items === null ? [] : [layer],
    minItems: readCount(schema, 'minItems', site) ?? 0,
    maxItems: readCount(schema, 'maxItems', site),
    contains: containsOf(site, schema, document),
    isUnique: schema['uniqueItems'] === true,
  }
}

function containsOf(site: Site, schema: SchemaObject, document: SchemaDocument): Site | null {
  const min = readCount(schema, 'minContains', site) ?? 1
  const max = readCount(schema, 'maxContains', site)
  if (schema['contains'] === undefined) return null
  if (max !== null) throw schemaError([site.pointer, 'maxContains'], 'cannot be enforced; leave it out')
  if (min > 1) throw schemaError([site.pointer, 'minContains'], `is ${min}; only 0 and 1 can be enforced`)
  return min === 0 ? null : document.child(site, schema['contains'], 'contains')
}

function objectOf(site: Site, schema: SchemaObject, context: OwnContext): ObjectAlternative {
  const { document } = context
  const properties = readEntries(schema, 'properties', site).map(
    ([name, child]) => [name, document.child(site, child, `properties/${encodePointer(name)}`)] as const,
  )
  const patterns = readEntries(schema, 'patternProperties', site).map(([pattern, child]) => {
    const place = document.child(site, child, `patternProperties/${encodePointer(pattern)}`)
    return { language: context.language('pattern', pattern, site), site: place }
  })
  const additional = additionalOf(site, schema, context)
  const names = schema['propertyNames']
  return {
    ...anyObject,
    layers:
      properties.length === 0 && patterns.length === 0 && additional === null
        ? []
        : [{ properties: new Map(properties), patterns, additional }],
    required: readNames(schema['required'], 'required', site),
    minProperties: readCount(schema, 'minProperties', site) ?? 0,
    maxProperties: readCount(schema, 'maxProperties', site),
    names: names === undefined ? [] : [document.child(site, names, 'propertyNames')],
  }
}

function additionalOf(site: Site, schema: SchemaObject, { document, options }: OwnContext): Site | null {
  if (schema['additionalProperties'] !== undefined) {
    return document.child(site, schema['additionalProperties'], 'additionalProperties')
  }
  const unevaluated = schema['unevaluatedProperties']
  if (unevaluated !== undefined && unevaluated !== true) {
    refuseBesideApplicators(site, schema, 'unevaluatedProperties')
    return document.child(site, unevaluated, 'unevaluatedProperties')
  }
  const namesProperties = isObject(schema['properties']) || isObject(schema['patternProperties'])
  return options.disableAdditionalProperties && namesProperties
    ? document.child(site, false, 'additionalProperties')
    : null
}

const applicators = ['$ref', 'allOf', 'anyOf', 'oneOf', 'not', 'if', 'dependentSchemas', 'dependencies', 'contains']

function refuseBesideApplicators(site: Site, schema: SchemaObject, keyword: string): void {
  const other = applicators.find((name) => schema[name] !== undefined)
  if (other === undefined) return
  const instead = keyword === 'unevaluatedItems' ? 'items' : 'additionalProperties'
  throw schemaError(
    [site.pointer, keyword],
    `cannot be enforced beside "${other}"; write all in one schema with "${instead}"`,
  )
}
