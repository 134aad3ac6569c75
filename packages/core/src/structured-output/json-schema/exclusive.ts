import type { Alternative, ObjectAlternative, StringAlternative } from './alternative.ts'
import { itemSites } from './alternative.ts'
import { propertySites, tryIntersect } from './intersect.ts'
import type { Site } from './schema-document.ts'
import type { SchemaExpander } from './schema-expander.ts'
import { maxCountedLength, stringLanguage } from './string-rules.ts'

const maxProofDepth = 6

/** The schemas with a `oneOf` of which it is not sure that no value is valid by two of its branches. */
export function findOverlapping(expander: SchemaExpander): readonly Site[] {
  return expander.exclusive.flatMap(({ site, branches }) =>
    branches.every((left, index) => branches.slice(index + 1).every((right) => areDisjoint(left, right, expander)))
      ? []
      : [site],
  )
}

function areDisjoint(left: readonly Alternative[], right: readonly Alternative[], expander: SchemaExpander): boolean {
  const context = { expander, pointer: '#' }
  expander.budget.spend(left.length * right.length)
  return left.every((a) => right.every((b) => isEmpty(tryIntersect(a, b, context), expander, maxProofDepth)))
}

/** Whether it is sure that an alternative has no values. */
function isEmpty(alternative: Alternative | null, expander: SchemaExpander, depth: number): boolean {
  if (alternative === null) return true
  expander.budget.spend(5)
  switch (alternative.type) {
    case 'const':
      return false
    case 'number': {
      const { min, max, isInteger } = alternative
      if (min === null || max === null) return false
      if (min.value > max.value || (min.value === max.value && (min.isExclusive || max.isExclusive))) return true
      return isInteger && Math.ceil(min.value) > Math.floor(max.value)
    }
    case 'string':
      return isStringEmpty(alternative, expander)
    case 'array':
      return (
        alternative.minItems > (alternative.maxItems ?? Infinity) ||
        Array.from({ length: Math.min(alternative.minItems, 16) }, (_, index) => itemSites(alternative, index)).some(
          (sites) => isNodeEmpty(sites, expander, depth),
        )
      )
    default:
      return isObjectEmpty(alternative, expander, depth)
  }
}

function isStringEmpty(alternative: StringAlternative, expander: SchemaExpander): boolean {
  if (alternative.minLength > (alternative.maxLength ?? Infinity)) return true
  if (alternative.languages.length === 0 || alternative.minLength > maxCountedLength) return false
  // Longer texts may be in the language, so without a limit only the whole of it counts.
  const isCut = alternative.maxLength !== null && alternative.maxLength > maxCountedLength
  return stringLanguage(isCut ? { ...alternative, maxLength: null } : alternative, expander, '#').states.length === 0
}

function isObjectEmpty(object: ObjectAlternative, expander: SchemaExpander, depth: number): boolean {
  if (Math.max(object.minProperties, object.required.length) > (object.maxProperties ?? Infinity)) return true
  return object.required.some((name) => isNodeEmpty(propertySites(object, name), expander, depth))
}

function isNodeEmpty(sites: readonly Site[], expander: SchemaExpander, depth: number): boolean {
  if (sites.some((site) => site.schema === false)) return true
  if (depth === 0) return false
  return expander.alternatives(expander.node(sites)).every((alternative) => isEmpty(alternative, expander, depth - 1))
}
