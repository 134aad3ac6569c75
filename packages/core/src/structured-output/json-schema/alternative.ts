import type { Dfa } from '../automaton/dfa.ts'
import type { Site } from './schema-document.ts'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [name: string]: JsonValue }

/** All of these schemas hold: what a property or an item must be. No schema: any value. */
export interface SchemaNode {
  readonly key: string
  readonly sites: readonly Site[]
}

/** One way to be valid, of one JSON type; a schema is a union of such. */
export type Alternative =
  | ConstAlternative
  | NumberAlternative
  | StringAlternative
  | ArrayAlternative
  | ObjectAlternative

export interface ConstAlternative {
  readonly type: 'const'
  readonly value: JsonValue
}

export interface NumberAlternative {
  readonly type: 'number'
  readonly isInteger: boolean
  readonly min: Bound | null
  readonly max: Bound | null
  /** Positive integers that all divide the value. */
  readonly divisors: readonly number[]
}

export interface Bound {
  readonly value: number
  readonly isExclusive: boolean
}

export interface StringAlternative {
  readonly type: 'string'
  readonly minLength: number
  readonly maxLength: number | null
  /** The text is in each of them. */
  readonly languages: readonly Dfa[]
}

export interface ArrayAlternative {
  readonly type: 'array'
  readonly layers: readonly ArrayLayer[]
  readonly minItems: number
  readonly maxItems: number | null
  /** At least one item is this. */
  readonly contains: Site | null
  readonly isUnique: boolean
}

/** One schema's say on items: those at the front, and all behind. */
export interface ArrayLayer {
  readonly prefix: readonly Site[]
  readonly items: Site | null
}

export interface ObjectAlternative {
  readonly type: 'object'
  readonly layers: readonly ObjectLayer[]
  readonly required: readonly string[]
  readonly minProperties: number
  readonly maxProperties: number | null
  /** Every name, as a string, is valid by these. */
  readonly names: readonly Site[]
}

/** One schema's say on properties; `additional` is for names that neither `properties` nor `patterns` know. */
export interface ObjectLayer {
  readonly properties: ReadonlyMap<string, Site>
  readonly patterns: readonly { readonly language: Dfa; readonly site: Site }[]
  readonly additional: Site | null
}

export const anyNumber: NumberAlternative = { type: 'number', isInteger: false, min: null, max: null, divisors: [] }
export const anyString: StringAlternative = { type: 'string', minLength: 0, maxLength: null, languages: [] }
export const anyArray: ArrayAlternative = {
  type: 'array',
  layers: [],
  minItems: 0,
  maxItems: null,
  contains: null,
  isUnique: false,
}
export const anyObject: ObjectAlternative = {
  type: 'object',
  layers: [],
  required: [],
  minProperties: 0,
  maxProperties: null,
  names: [],
}

export const anyValue: readonly Alternative[] = [
  anyObject,
  anyArray,
  anyString,
  anyNumber,
  { type: 'const', value: true },
  { type: 'const', value: false },
  { type: 'const', value: null },
]

/** JSON text by which equal values are equal. */
export function canonicalText(value: JsonValue): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`
  const entries = Object.entries(value as Record<string, JsonValue>).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${canonicalText(item)}`).join(',')}}`
}

/** What the item at `index` must be. */
export function itemSites(array: ArrayAlternative, index: number): Site[] {
  return array.layers.flatMap((layer) => {
    const site = index < layer.prefix.length ? layer.prefix[index]! : layer.items
    return site === null ? [] : [site]
  })
}
