import { dfaAccepts } from '../automaton/dfa.ts'
import {
  canonicalText,
  itemSites,
  type Alternative,
  type ArrayAlternative,
  type JsonValue,
  type NumberAlternative,
  type ObjectAlternative,
  type SchemaNode,
  type StringAlternative,
} from './alternative.ts'
import { higherBound, lowerBound } from './own-alternatives.ts'
import type { Site } from './schema-document.ts'
import { schemaError } from './schema-error.ts'

/** What deciding about values needs: other schemas' alternatives. */
export interface AlternativeSource {
  node(sites: readonly Site[]): SchemaNode
  alternatives(node: SchemaNode): readonly Alternative[]
}

export interface IntersectContext {
  readonly expander: AlternativeSource
  readonly pointer: string
}

/** Values that are valid by both; null where there are none. Emptiness that takes a search is found later. */
export function tryIntersect(a: Alternative, b: Alternative, context: IntersectContext): Alternative | null {
  if (a.type === 'const' && b.type === 'const') return canonicalText(a.value) === canonicalText(b.value) ? a : null
  if (a.type === 'const') return accepts(b, a.value, context.expander) ? a : null
  if (b.type === 'const') return accepts(a, b.value, context.expander) ? b : null
  if (a.type === 'number' && b.type === 'number') return intersectNumbers(a, b)
  if (a.type === 'string' && b.type === 'string') return intersectStrings(a, b)
  if (a.type === 'array' && b.type === 'array') return intersectArrays(a, b, context)
  if (a.type === 'object' && b.type === 'object') return intersectObjects(a, b)
  return null
}

function intersectNumbers(a: NumberAlternative, b: NumberAlternative): NumberAlternative {
  return {
    type: 'number',
    isInteger: a.isInteger || b.isInteger,
    min: higherBound(a.min, b.min),
    max: lowerBound(a.max, b.max),
    divisors: [...new Set([...a.divisors, ...b.divisors])],
  }
}

function intersectStrings(a: StringAlternative, b: StringAlternative): StringAlternative {
  return {
    type: 'string',
    minLength: Math.max(a.minLength, b.minLength),
    maxLength: lowest(a.maxLength, b.maxLength),
    languages: [...new Set([...a.languages, ...b.languages])],
  }
}

function intersectArrays(a: ArrayAlternative, b: ArrayAlternative, { pointer }: IntersectContext): ArrayAlternative {
  if (a.contains !== null && b.contains !== null && a.contains !== b.contains) {
    throw schemaError([pointer, 'contains'], 'is combined with another "contains"; only one can be enforced')
  }
  return {
    type: 'array',
    layers: [...new Set([...a.layers, ...b.layers])],
    minItems: Math.max(a.minItems, b.minItems),
    maxItems: lowest(a.maxItems, b.maxItems),
    contains: a.contains ?? b.contains,
    isUnique: a.isUnique || b.isUnique,
  }
}

function intersectObjects(a: ObjectAlternative, b: ObjectAlternative): ObjectAlternative {
  return {
    type: 'object',
    layers: [...new Set([...a.layers, ...b.layers])],
    required: [...new Set([...a.required, ...b.required])],
    minProperties: Math.max(a.minProperties, b.minProperties),
    maxProperties: lowest(a.maxProperties, b.maxProperties),
    names: [...new Set([...a.names, ...b.names])],
  }
}

export function lowest(a: number | null, b: number | null): number | null {
  return a === null || b === null ? (a ?? b) : Math.min(a, b)
}

/** What the value of a property must be. */
export function propertySites(object: ObjectAlternative, name: string): Site[] {
  return object.layers.flatMap((layer) => {
    const named = layer.properties.get(name)
    const matched = layer.patterns.filter(({ language }) => dfaAccepts(language, name)).map(({ site }) => site)
    const sites = named === undefined ? matched : [named, ...matched]
    return sites.length > 0 || layer.additional === null ? sites : [layer.additional]
  })
}

/** Whether a value is valid by an alternative. */
export function accepts(alternative: Alternative, value: JsonValue, source: AlternativeSource): boolean {
  const isValid = (sites: readonly Site[], item: JsonValue): boolean =>
    source.alternatives(source.node(sites)).some((other) => accepts(other, item, source))
  switch (alternative.type) {
    case 'const':
      return canonicalText(alternative.value) === canonicalText(value)
    case 'number':
      return typeof value === 'number' && acceptsNumber(alternative, value)
    case 'string':
      return typeof value === 'string' && acceptsString(alternative, value)
    case 'array': {
      if (!Array.isArray(value)) return false
      const items = value as readonly JsonValue[]
      const { contains } = alternative
      return (
        isWithin(items.length, alternative.minItems, alternative.maxItems) &&
        (!alternative.isUnique || new Set(items.map(canonicalText)).size === items.length) &&
        (contains === null || items.some((item) => isValid([contains], item))) &&
        items.every((item, index) => isValid(itemSites(alternative, index), item))
      )
    }
    default: {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
      const entries = Object.entries(value as Record<string, JsonValue>)
      return (
        isWithin(entries.length, alternative.minProperties, alternative.maxProperties) &&
        alternative.required.every((name) => Object.hasOwn(value, name)) &&
        entries.every(
          ([name, item]) => isValid(alternative.names, name) && isValid(propertySites(alternative, name), item),
        )
      )
    }
  }
}

function acceptsNumber({ isInteger, min, max, divisors }: NumberAlternative, value: number): boolean {
  return (
    (!isInteger || Number.isInteger(value)) &&
    (min === null || value > min.value || (value === min.value && !min.isExclusive)) &&
    (max === null || value < max.value || (value === max.value && !max.isExclusive)) &&
    divisors.every((divisor) => value % divisor === 0)
  )
}

function acceptsString({ minLength, maxLength, languages }: StringAlternative, value: string): boolean {
  return isWithin([...value].length, minLength, maxLength) && languages.every((language) => dfaAccepts(language, value))
}

function isWithin(number: number, min: number, max: number | null): boolean {
  return number >= min && (max === null || number <= max)
}
