import type { Dfa } from '../automaton/dfa.ts'
import { intersectDfas, subtractDfa, textsDfa } from '../automaton/dfa.ts'
import { spellInJson } from '../automaton/byte-dfa.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import type { GrammarWriter } from '../ebnf/grammar-writer.ts'
import {
  itemSites,
  type Alternative,
  type ArrayAlternative,
  type ObjectAlternative,
  type SchemaNode,
} from './alternative.ts'
import { accepts, propertySites } from './intersect.ts'
import { tryWriteNumber } from './number-rules.ts'
import type { Site } from './schema-document.ts'
import { schemaError } from './schema-error.ts'
import type { SchemaExpander } from './schema-expander.ts'
import { languageOf, tryWriteString } from './string-rules.ts'

/** How values of an alternative are written, with other nodes for what they hold. */
export type ValuePlan = TextPlan | ObjectPlan | ArrayPlan

export interface TextPlan {
  readonly type: 'text'
  readonly text: string
  /** The text itself, rather than EBNF. */
  readonly isLiteral: boolean
}

export interface ObjectPlan {
  readonly type: 'object'
  readonly members: readonly { readonly name: string; readonly node: SchemaNode; readonly isRequired: boolean }[]
  /** Names beyond those, as EBNF with their quotes. */
  readonly extras: readonly { readonly key: string; readonly node: SchemaNode }[]
  readonly min: number
  readonly max: number | null
}

export interface ArrayPlan {
  readonly type: 'array'
  readonly prefix: readonly SchemaNode[]
  readonly rest: SchemaNode
  readonly min: number
  readonly max: number | null
  /** What one of the items must be. */
  readonly contains: SchemaNode | null
  /** Where items must differ: the texts of all there can be, each once, in this order. */
  readonly choices: readonly string[] | null
}

export interface PlanContext {
  readonly expander: SchemaExpander
  readonly writer: GrammarWriter
  readonly pointer: string
}

/** The plan of an alternative; null where it has no values. */
export function tryPlan(alternative: Alternative, context: PlanContext): ValuePlan | null {
  const { expander, writer, pointer } = context
  const { budget } = expander
  switch (alternative.type) {
    case 'const':
      return { type: 'text', text: JSON.stringify(alternative.value), isLiteral: true }
    case 'number':
      return textPlan(tryWriteNumber(alternative, { writer, budget, pointer }))
    case 'string':
      return textPlan(tryWriteString(alternative, context))
    case 'array':
      return planArray(alternative, context)
    default:
      return tryPlanObject(alternative, context)
  }
}

function textPlan(text: string | null): TextPlan | null {
  return text === null ? null : { type: 'text', text, isLiteral: false }
}

/** Longer lists are not written; a minimum above is refused. */
const maxItems = 20_000

function planArray(array: ArrayAlternative, { expander, pointer }: PlanContext): ArrayPlan {
  if (array.minItems > maxItems)
    throw schemaError([pointer, 'minItems'], `is ${array.minItems}; only up to ${maxItems} can be enforced`)
  const length = Math.max(0, ...array.layers.map((layer) => layer.prefix.length))
  const max = array.maxItems === null ? null : Math.min(array.maxItems, maxItems)
  const prefix = Array.from({ length: Math.min(length, max ?? length) }, (_, index) =>
    expander.node(itemSites(array, index)),
  )
  const rest = expander.node(itemSites(array, length))
  const { contains } = array
  if (contains !== null && (prefix.length > 0 || array.minItems > 1 || max !== null || array.isUnique)) {
    throw schemaError(
      [pointer, 'contains'],
      'cannot be enforced beside prefixItems, minItems above 1, maxItems or uniqueItems',
    )
  }
  return {
    type: 'array',
    prefix,
    rest,
    min: array.minItems,
    max,
    contains: contains === null ? null : expander.node([contains, ...rest.sites]),
    choices: array.isUnique && (max ?? 2) > 1 ? uniqueChoices(expander.alternatives(rest), prefix, pointer) : null,
  }
}

function uniqueChoices(
  alternatives: readonly Alternative[],
  prefix: readonly SchemaNode[],
  pointer: string,
): readonly string[] {
  if (prefix.length === 0 && alternatives.every((alternative) => alternative.type === 'const')) {
    return alternatives.map(({ value }) => JSON.stringify(value))
  }
  throw schemaError(
    [pointer, 'uniqueItems'],
    'can be enforced only where "items" is an "enum"; leave it out, or list the values',
  )
}

function tryPlanObject(object: ObjectAlternative, context: PlanContext): ObjectPlan | null {
  const { expander } = context
  const { required } = object
  const names = new Set([...object.layers.flatMap((layer) => [...layer.properties.keys()]), ...required])
  if (required.length > (object.maxProperties ?? Infinity)) return null
  const nameNode = expander.node(object.names)
  const isName = (name: string): boolean =>
    nameNode.sites.length === 0 ||
    expander.alternatives(nameNode).some((alternative) => accepts(alternative, name, expander))
  const requiredNames = new Set(required)
  const members = [...names].map((name) => ({
    name,
    node: expander.node(propertySites(object, name)),
    isRequired: requiredNames.has(name),
  }))
  expander.budget.spend(members.length)
  const allowed = members.filter(({ name }) => isName(name))
  if (allowed.length < members.length && members.some(({ name, isRequired }) => isRequired && !isName(name)))
    return null
  return {
    type: 'object',
    members: allowed,
    extras: (object.maxProperties ?? Infinity) > required.length ? planExtras(object, [...names], context) : [],
    min: object.minProperties,
    max: object.maxProperties,
  }
}

const maxPatterns = 6

/** Names that are not spelled out, split by which patterns they match. */
function planExtras(object: ObjectAlternative, names: readonly string[], context: PlanContext): ObjectPlan['extras'] {
  const { expander, writer, pointer } = context
  const { budget } = expander
  const { layers } = object
  const closed = layers.some((layer) => layer.additional?.schema === false && layer.patterns.length === 0)
  if (closed) return []
  const patterns = [...new Set(layers.flatMap((layer) => layer.patterns.map(({ language }) => language)))]
  if (patterns.length > maxPatterns) {
    throw schemaError(
      [pointer, 'patternProperties'],
      `has ${patterns.length} patterns that may match together, more than ${maxPatterns}`,
    )
  }
  const nameNode = expander.node(object.names)
  const all = languageOf(expander.alternatives(nameNode), expander, pointer)
  let regions: { language: Dfa; matched: ReadonlySet<Dfa> }[] = [
    { language: subtractDfa(all, takenNames(names, context), budget), matched: new Set() },
  ]
  for (const pattern of patterns) {
    regions = regions.flatMap(({ language, matched }) => [
      { language: intersectDfas(language, pattern, budget), matched: new Set([...matched, pattern]) },
      { language: subtractDfa(language, pattern, budget), matched },
    ])
  }
  return regions.flatMap(({ language, matched }) => {
    const sites = layers.flatMap((layer): Site[] => {
      const own = layer.patterns.filter((pattern) => matched.has(pattern.language)).map(({ site }) => site)
      return own.length > 0 || layer.additional === null ? own : [layer.additional]
    })
    if (sites.some(({ schema }) => schema === false)) return []
    const key = tryWriteDfa(language, writer, { spell: spellInJson, tail: '"', hint: 'name', budget })
    return key === null ? [] : [{ key: `"\\"" ${key}`, node: expander.node(sites) }]
  })
}

/** More would make each of their characters a state in which the vocabulary is checked. */
const maxTakenCharacters = 64

/** Names that extra ones must not repeat; of many long ones, all that begin as they do. */
function takenNames(names: readonly string[], { expander }: PlanContext): Dfa {
  const split = names.map((name) => Array.from(name))
  let length = Math.max(0, ...split.map((characters) => characters.length))
  const numStates = (): number =>
    new Set(
      split.flatMap((characters) => characters.slice(0, length).map((_, at) => characters.slice(0, at + 1).join(''))),
    ).size
  while (length > 1 && numStates() > maxTakenCharacters) length = Math.ceil(length / 2)
  const exact = split.filter((characters) => characters.length <= length).map((characters) => characters.join(''))
  const begun = split
    .filter((characters) => characters.length > length)
    .map((characters) => characters.slice(0, length).join(''))
  return textsDfa(exact, expander.budget, begun)
}
