import type { Budget } from './budget.ts'
import { JinjaError } from './jinja-error.ts'
import { compareText } from './text.ts'
import {
  Dict,
  type DictKey,
  DictView,
  Generator,
  indexOf,
  Markup,
  PyFloat,
  Range,
  Tuple,
  typeName,
  textKey,
  textOf,
  Undefined,
  type Value,
} from './values.ts'

/** The number behind an int, bool or float. */
export function numberOf(value: Value): number | bigint | null {
  if (typeof value === 'number' || typeof value === 'bigint') return value
  if (typeof value === 'boolean') return Number(value)
  return value instanceof PyFloat ? value.value : null
}

/** Python's `==`. */
export function isEqual(a: Value, b: Value, budget: Budget): boolean {
  return isEqualAt(a, b, { budget, depth: 0 })
}

interface Comparing {
  readonly budget: Budget
  readonly depth: number
}

function isEqualAt(a: Value, b: Value, comparing: Comparing): boolean {
  const { budget, depth } = comparing
  budget.step()
  budget.depth(depth)
  if (a === b && !(a instanceof PyFloat)) return true
  const [x, y] = [numberOf(a), numberOf(b)]
  // oxlint-disable-next-line eqeqeq -- a bigint equals the float of the same value
  if (x !== null && y !== null) return x == y
  const [s, t] = [textOf(a), textOf(b)]
  if (s !== null || t !== null) {
    if (s?.length === t?.length) budget.read(s?.length ?? 0)
    return s === t
  }
  const inner = { budget, depth: depth + 1 }
  if (Array.isArray(a)) return Array.isArray(b) && areEqual(a, b, inner)
  if (a instanceof Tuple) return b instanceof Tuple && areEqual(a.items, b.items, inner)
  if (a instanceof Dict) return b instanceof Dict && areDictsEqual(a, b, inner)
  if (a instanceof Undefined) return b instanceof Undefined
  if (a instanceof Range) return b instanceof Range && areEqual([...a], [...b], inner)
  if (a instanceof DictView && a.kind !== 'values')
    return b instanceof DictView && b.kind === a.kind && areViewsEqual(a, b, inner)
  return false
}

function areEqual(a: readonly Value[], b: readonly Value[], comparing: Comparing): boolean {
  return a.length === b.length && a.every((item, index) => isEqualAt(item, b[index]!, comparing))
}

function areDictsEqual(a: Dict, b: Dict, comparing: Comparing): boolean {
  if (a.size !== b.size) return false
  for (const [key, [, value]] of a.entries) {
    const other = b.entries.get(key)
    if (other === undefined || !isEqualAt(value, other[1], comparing)) return false
  }
  return true
}

function areViewsEqual(a: DictView, b: DictView, comparing: Comparing): boolean {
  if (a.kind === 'items') return areDictsEqual(a.dict, b.dict, comparing)
  return a.dict.size === b.dict.size && [...a.dict.entries.keys()].every((key) => b.dict.entries.has(key))
}

/** Python's `<`, as a number below, equal to or above zero. NaN where the values have no order. */
export function compareValues(a: Value, b: Value, { budget, sign }: { budget: Budget; sign: string }): number {
  budget.step()
  if (a instanceof Undefined) return a.fail()
  if (b instanceof Undefined) return b.fail()
  const [x, y] = [numberOf(a), numberOf(b)]
  // oxlint-disable-next-line eqeqeq -- a bigint equals the float of the same value
  if (x !== null && y !== null) return x < y ? -1 : x > y ? 1 : x == y ? 0 : Number.NaN
  const [s, t] = [textOf(a), textOf(b)]
  if (s !== null && t !== null) {
    budget.read(Math.min(s.length, t.length))
    return compareText(s, t)
  }
  const [items, others] = [sequenceOf(a), sequenceOf(b)]
  if (items === null || others === null || Array.isArray(a) !== Array.isArray(b)) {
    throw new JinjaError(`'${sign}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`)
  }
  for (let i = 0; i < items.length && i < others.length; i++) {
    if (!isEqual(items[i]!, others[i]!, budget)) return compareValues(items[i]!, others[i]!, { budget, sign })
  }
  return items.length - others.length
}

function sequenceOf(value: Value): readonly Value[] | null {
  if (Array.isArray(value)) return value
  return value instanceof Tuple ? value.items : null
}

const undefinedKey = Symbol('undefined')
/** Keys of tuples are texts that no text has as its key. */
const tuplePrefix = '\u0000('
const objectKeys = new WeakMap<object, symbol>()

/** What a dict finds the value by. Throws JinjaError for what Python cannot hash. */
export function toKey(value: Value, budget: Budget): DictKey {
  const text = textOf(value)
  if (text !== null) return textKey(text)
  const number = numberOf(value)
  if (number !== null) {
    const isWhole = typeof number === 'number' && Number.isInteger(number) && !Number.isSafeInteger(number)
    return isWhole ? BigInt(number) : number
  }
  if (value === null) return null
  if (value instanceof Undefined) return undefinedKey
  if (value instanceof Tuple) {
    budget.step()
    const keys = value.items.map((item) => {
      const key = toKey(item, budget)
      return typeof key === 'symbol' ? `y${String(key)}` : `${typeof key}:${String(key).length}:${String(key)}`
    })
    const whole = `${tuplePrefix}${keys.join(',')}`
    budget.text(whole.length)
    return whole
  }
  const isView = value instanceof DictView && value.kind !== 'values'
  if (Array.isArray(value) || value instanceof Dict || isView)
    throw new JinjaError(`unhashable type: '${typeName(value)}'`)
  return objectKey(value as object)
}

function objectKey(value: object): symbol {
  const known = objectKeys.get(value)
  if (known !== undefined) return known
  const key = Symbol('object')
  objectKeys.set(value, key)
  return key
}

/** Python's `in`. */
export function isIn(item: Value, container: Value, budget: Budget): boolean {
  const text = textOf(container)
  if (text !== null) {
    const part = textOf(item)
    if (part === null) throw new JinjaError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    budget.read(text.length)
    return text.includes(part)
  }
  if (container instanceof Dict) return container.entries.has(toKey(item, budget))
  if (container instanceof DictView && container.kind === 'keys') return container.dict.entries.has(toKey(item, budget))
  if (container instanceof Range) {
    const index = item instanceof PyFloat ? item.value : indexOf(item)
    if (index === null) return false
    const offset = (index - container.start) / container.step
    return Number.isInteger(offset) && offset >= 0 && offset < container.length
  }
  for (const other of iterate(container)) if (isEqual(other, item, budget)) return true
  return false
}

/** What a loop goes over. Throws JinjaError where Python's `iter` does. */
export function iterate(value: Value): Iterable<Value> {
  if (Array.isArray(value)) return value
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Tuple) return value.items
  if (value instanceof Dict) return value.keys()
  if (value instanceof DictView || value instanceof Range || value instanceof Generator) return value
  if (value instanceof Undefined) return []
  if (typeof value === 'object' && value !== null && Symbol.iterator in value) return value as Iterable<Value>
  throw new JinjaError(`'${typeName(value)}' object is not iterable`)
}

/** All items, within the budget. */
export function listOf(value: Value, budget: Budget): Value[] {
  const list: Value[] = []
  for (const item of iterate(value)) {
    budget.items(1)
    list.push(item)
  }
  return list
}
