import { attributeOf, getItem } from './access.ts'
import { operate } from './arithmetic.ts'
import { compareValues, isEqual, iterate, listOf, numberOf, toKey } from './compare.ts'
import { type Filter, filter, type Runtime } from './filter.ts'
import { JinjaError } from './jinja-error.ts'
import { parseFloatText, parseIntegerText, roundFloat } from './number-text.ts'
import { toText } from './printing.ts'
import { escapeHtml } from './html.ts'
import { charsOf, lengthOf, stripText } from './text.ts'
import type { Given } from './arguments.ts'
import {
  type CallArguments,
  Dict,
  type DictKey,
  DictView,
  Generator,
  indexOf,
  isTrue,
  Markup,
  orUndefined,
  PyFloat,
  Range,
  textOf,
  toInteger,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

type Getter = (item: Value) => Value

/** `attribute='a.b.0'`: the way into an item; whole numbers are indexes. */
function getterOf(attribute: Value, { budget }: Runtime, absent: Value = null): Getter {
  const path = attributePath(attribute)
  return (item) =>
    path.reduce<Value>((value, part) => {
      budget.step()
      const next = getItem(value, part, budget)
      return next instanceof Undefined && absent !== null ? absent : next
    }, item)
}

function attributePath(attribute: Value): Value[] {
  if (attribute === null) return []
  const text = textOf(attribute)
  return text === null ? [attribute] : text.split('.').map((part) => (/^\p{Nd}+$/u.test(part) ? Number(part) : part))
}

/** Texts are compared without their case, unless told otherwise. */
function ignoreCase(value: Value): Value {
  const text = textOf(value)
  return text === null ? value : text.toLowerCase()
}

function keyGetter(attribute: Value, isCaseSensitive: boolean, runtime: Runtime): Getter {
  const get = getterOf(attribute, runtime)
  return isCaseSensitive ? get : (item) => ignoreCase(get(item))
}

interface Sorting {
  readonly runtime: Runtime
  readonly isReverse: boolean
}

function sortBy(items: readonly Value[], getKey: Getter, { runtime, isReverse }: Sorting): Value[] {
  const { budget } = runtime
  budget.items(items.length)
  const keyed = items.map((item) => ({ item, key: getKey(item) }))
  const sign = isReverse ? -1 : 1
  return keyed.toSorted((a, b) => sign * compareKeys(a.key, b.key, budget) || 0).map(({ item }) => item)
}

function compareKeys(a: Value, b: Value, budget: Runtime['budget']): number {
  return compareValues(a, b, { budget, sign: '<' })
}

function sort(value: Value, given: Given, runtime: Runtime): Value[] {
  const [isReverse, isCaseSensitive] = [given.integer(0, 0) !== 0, given.isTrue(1)]
  const attribute = given.at(2)
  const names = textOf(attribute)?.split(',') ?? [attribute]
  const getters = names.map((name) => keyGetter(name, isCaseSensitive, runtime))
  return sortBy(listOf(value, runtime.budget), (item) => getters.map((get) => get(item)), { runtime, isReverse })
}

function groupBy(value: Value, given: Given, runtime: Runtime): Value[] {
  const [attribute, absent, isCaseSensitive] = [given.at(0), given.at(1), given.isTrue(2)]
  const get = getterOf(attribute, runtime, absent)
  const getKey: Getter = isCaseSensitive ? get : (item) => ignoreCase(get(item))
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sortBy(listOf(value, runtime.budget), getKey, { runtime, isReverse: false })) {
    const key = getKey(item)
    const last = groups.at(-1)
    if (last !== undefined && isEqual(last.key, key, runtime.budget)) last.items.push(item)
    else groups.push({ key, items: [item] })
  }
  return groups.map(({ items }) => new Tuple([get(items[0]!), items], ['grouper', 'list']))
}

function* unique(value: Value, getKey: Getter, { budget }: Runtime): Iterable<Value> {
  const seen = new Set<DictKey>()
  for (const item of iterate(value)) {
    budget.step()
    const key = toKey(getKey(item), budget)
    if (seen.has(key)) continue
    budget.items(1)
    seen.add(key)
    yield item
  }
}

function extreme(value: Value, given: Given, { runtime, sign }: { runtime: Runtime; sign: number }): Value {
  const getKey = keyGetter(given.at(1), given.isTrue(0), runtime)
  let best: { item: Value; key: Value } | null = null
  for (const item of iterate(value)) {
    runtime.budget.step()
    const key = getKey(item)
    if (best === null || sign * compareKeys(key, best.key, runtime.budget) > 0) best = { item, key }
  }
  return best === null ? new Undefined('No aggregated item, sequence was empty.') : best.item
}

/** The test named first, or truth, of an item or of its attribute. */
function selector(given: CallArguments, runtime: Runtime, hasAttribute: boolean): (item: Value) => boolean {
  const [first, ...others] = given.args
  if (hasAttribute && first === undefined) throw new JinjaError('Missing parameter for attribute name')
  const get: Getter = hasAttribute ? getterOf(first!, runtime) : (item) => item
  const [name, ...args] = hasAttribute ? others : given.args
  if (name === undefined) return (item) => isTrue(get(item))
  const test = textOf(name)
  if (test === null) throw new JinjaError('the name of a test is expected')
  return (item) => runtime.applyTest(test, get(item), { args, kwargs: given.kwargs })
}

function select({ keeps, hasAttribute }: { keeps: boolean; hasAttribute: boolean }): Filter {
  return (value, given, runtime) => new Generator(selected(value, { given, keeps, hasAttribute, runtime }))
}

interface Selecting {
  readonly given: CallArguments
  readonly keeps: boolean
  readonly hasAttribute: boolean
  readonly runtime: Runtime
}

function* selected(value: Value, { given, keeps, hasAttribute, runtime }: Selecting): Iterable<Value> {
  if (!isTrue(value)) return
  const isSelected = selector(given, runtime, hasAttribute)
  for (const item of iterate(value)) {
    runtime.budget.step()
    if (isSelected(item) === keeps) yield item
  }
}

function* mapped(value: Value, { args, kwargs }: CallArguments, runtime: Runtime): Iterable<Value> {
  if (!isTrue(value)) return
  const attribute = args.length === 0 ? kwargs.get('attribute') : undefined
  const [first, ...rest] = args
  const name = first === undefined ? null : textOf(first)
  if (attribute === undefined && name === null) throw new JinjaError('map requires a filter argument')
  const get =
    attribute === undefined
      ? (item: Value) => runtime.applyFilter(name!, item, { args: rest, kwargs })
      : getterOf(attribute, runtime, kwargs.get('default') ?? null)
  for (const item of iterate(value)) {
    runtime.budget.step()
    yield get(item)
  }
}

function* batches(value: Value, given: Given, { budget }: Runtime): Iterable<Value> {
  const [size, fill] = [given.integer(0, 0), given.at(1)]
  let batch: Value[] = []
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield batch
      batch = []
    }
    budget.items(1)
    batch.push(item)
  }
  if (batch.length === 0) return
  if (fill !== null && batch.length < size) {
    budget.items(size)
    while (batch.length < size) batch.push(fill)
  }
  yield batch
}

function* slices(value: Value, given: Given, { budget }: Runtime): Iterable<Value> {
  const [count, fill] = [given.integer(0, 0), given.at(1)]
  const items = listOf(value, budget)
  if (count < 1) throw new JinjaError('integer division or modulo by zero')
  const [size, numLonger] = [Math.floor(items.length / count), items.length % count]
  for (let i = 0, start = 0; i < count; i++) {
    budget.items(size + 1)
    const end = start + size + (i < numLonger ? 1 : 0)
    const slice = items.slice(start, end)
    if (fill !== null && i >= numLonger) slice.push(fill)
    yield slice
    start = end
  }
}

/** With autoescape, one marked text among them or between them has all others escaped. */
function join(value: Value, given: Given, runtime: Runtime): Value {
  const { budget, isEscaping } = runtime
  const get = given.at(1) === null ? null : getterOf(given.at(1), runtime)
  const separator = given.has(0) ? given.at(0) : ''
  const texts: string[] = []
  const plain: number[] = []
  let length = 0
  for (const item of iterate(value)) {
    budget.step()
    const part = get === null ? item : get(item)
    const text = toText(part, budget)
    if (!(part instanceof Markup)) plain.push(texts.length)
    length += text.length
    budget.growth(length)
    texts.push(text)
  }
  const between = toText(separator, budget)
  budget.text(length + texts.length * between.length)
  const isMarked = isEscaping && (separator instanceof Markup || plain.length < texts.length)
  if (!isMarked) return texts.join(between)
  for (const index of plain) texts[index] = escapeHtml(texts[index]!)
  const marked = texts.join(separator instanceof Markup ? between : escapeHtml(between))
  budget.text(marked.length)
  return new Markup(marked)
}

/** Python's `len`. */
export function lengthOfValue(value: Value, { budget }: Runtime): number {
  const text = textOf(value)
  if (text !== null) {
    budget.read(text.length)
    return lengthOf(text)
  }
  if (Array.isArray(value) || value instanceof Range) return value.length
  if (value instanceof Dict) return value.size
  if (value instanceof Tuple) return value.items.length
  if (value instanceof DictView) return value.dict.size
  if (value instanceof Undefined) return 0
  throw new JinjaError(`object of type '${typeName(value)}' has no len()`)
}

function reverse(value: Value, { budget }: Runtime): Value {
  const text = textOf(value)
  if (text !== null) {
    budget.text(text.length)
    return [...charsOf(text)].toReversed().join('')
  }
  const items = listOf(value, budget).toReversed()
  return value instanceof Generator ? items : new Generator(items)
}

function last(value: Value, { budget }: Runtime): Value {
  if (value instanceof Generator) throw new JinjaError("'generator' object is not reversible")
  const text = textOf(value)
  if (text === null) return orUndefined(listOf(value, budget).at(-1), 'No last item, sequence was empty.')
  return orUndefined(charsOf(text).at(-1), 'No last item, sequence was empty.')
}

function first(value: Value): Value {
  for (const item of iterate(value)) return item
  return new Undefined('No first item, sequence was empty.')
}

function dictSort(value: Value, given: Given, runtime: Runtime): Value[] {
  if (!(value instanceof Dict)) throw new JinjaError(`dictsort expects a dict, got '${typeName(value)}'`)
  const by = given.has(1) ? given.text(1) : 'key'
  if (by !== 'key' && by !== 'value') throw new JinjaError('You can only sort by either "key" or "value"')
  const position = by === 'key' ? 0 : 1
  const pairs = Array.from(value.entries.values(), (pair) => new Tuple(pair))
  const isCaseSensitive = given.isTrue(0)
  const getKey: Getter = (pair) => {
    const key = (pair as Tuple).items[position]!
    return isCaseSensitive ? key : ignoreCase(key)
  }
  return sortBy(pairs, getKey, { runtime, isReverse: given.isTrue(2) })
}

function sum(value: Value, given: Given, runtime: Runtime): Value {
  const get = getterOf(given.at(0), runtime)
  let total: Value = given.has(1) ? given.at(1) : 0
  for (const item of iterate(value)) {
    runtime.budget.step()
    total = operate('+', [total, get(item)], runtime.budget)
  }
  return total
}

function round(value: Value, given: Given): Value {
  const number = value instanceof Undefined ? value.fail() : numberOf(value)
  if (number === null) throw new JinjaError(`type ${typeName(value)} doesn't define __round__ method`)
  const digits = given.integer(0, 0)
  const method = given.has(1) ? given.text(1) : 'common'
  if (method === 'common') {
    if (value instanceof PyFloat) return new PyFloat(roundFloat(value.value, digits))
    return digits >= 0 ? toInteger(number) : toInteger(BigInt(roundFloat(Number(number), digits)))
  }
  if (method !== 'ceil' && method !== 'floor') throw new JinjaError('method must be common, ceil or floor')
  const scale = 10 ** digits
  // Python rounds to an int, which has no negative zero.
  return new PyFloat((Math[method](Number(number) * scale) + 0) / scale)
}

function toInt(value: Value, given: Given): Value {
  if (value instanceof Undefined) return value.fail()
  const fallback = given.has(0) ? given.at(0) : 0
  const text = textOf(value)
  const base = given.has(1) ? indexOf(given.at(1)) : 10
  const integer = text === null || base === null ? null : parseIntegerText(stripText(text, 'both'), base)
  if (integer !== null) return toInteger(integer)
  const number = text === null ? numberOf(value) : parseFloatText(stripText(text, 'both'))
  if (number === null) return fallback
  if (typeof number === 'bigint') return number
  if (Number.isNaN(number)) return fallback
  if (!Number.isFinite(number)) {
    if (text !== null) return fallback
    throw new JinjaError('cannot convert float infinity to integer')
  }
  return toInteger(BigInt(Math.trunc(number)))
}

function toFloat(value: Value, given: Given): Value {
  if (value instanceof Undefined) return value.fail()
  const text = textOf(value)
  const number = text === null ? numberOf(value) : parseFloatText(stripText(text, 'both'))
  return number === null ? (given.has(0) ? given.at(0) : new PyFloat(0)) : new PyFloat(Number(number))
}

function absolute(value: Value): Value {
  const number = value instanceof Undefined ? value.fail() : numberOf(value)
  if (number === null) throw new JinjaError(`bad operand type for abs(): '${typeName(value)}'`)
  if (value instanceof PyFloat) return new PyFloat(Math.abs(value.value))
  return number < 0 ? toInteger(-number) : number
}

function* itemPairs(value: Value): Iterable<Value> {
  if (value instanceof Undefined) return
  if (!(value instanceof Dict)) throw new JinjaError('Can only get item pairs from a mapping.')
  yield* new DictView(value, 'items')
}

function withDefault(value: Value, given: Given): Value {
  const isMissing = value instanceof Undefined || (given.isTrue(1) && !isTrue(value))
  return isMissing ? (given.has(0) ? given.at(0) : '') : value
}

function random(value: Value, { budget }: Runtime): Value {
  const items = listOf(value, budget)
  return orUndefined(items[Math.floor(Math.random() * items.length)], 'No random item, sequence was empty.')
}

const defaultFilter = (name: string): Filter => filter(`${name}(; default_value, boolean)`, withDefault)
const lengthFilter = (name: string): Filter =>
  filter(`${name}()`, (value, _given, runtime) => lengthOfValue(value, runtime))

/** Filters on lists, dicts and numbers. */
export const listFilters: Readonly<Record<string, Filter>> = {
  abs: filter('abs()', absolute),
  attr: filter('attr(name)', (value, given, { budget }) => {
    return orUndefined(attributeOf(value, given.text(0), budget), `there is no attribute '${given.text(0)}'`)
  }),
  batch: filter(
    'batch(linecount; fill_with)',
    (value, given, runtime) => new Generator(batches(value, given, runtime)),
  ),
  count: lengthFilter('count'),
  d: defaultFilter('d'),
  default: defaultFilter('default'),
  dictsort: filter('dictsort(; case_sensitive, by, reverse)', dictSort),
  first: filter('first()', first),
  float: filter('float(; default)', toFloat),
  groupby: filter('groupby(attribute; default, case_sensitive)', groupBy),
  int: filter('int(; default, base)', toInt),
  items: filter('items()', (value) => new Generator(itemPairs(value))),
  join: filter('join(; d, attribute)', join),
  last: filter('last()', (value, _given, runtime) => last(value, runtime)),
  length: lengthFilter('length'),
  list: filter('list()', (value, _given, { budget }) => listOf(value, budget)),
  map: (value, given, runtime) => new Generator(mapped(value, given, runtime)),
  max: filter('max(; case_sensitive, attribute)', (value, given, runtime) =>
    extreme(value, given, { runtime, sign: 1 }),
  ),
  min: filter('min(; case_sensitive, attribute)', (value, given, runtime) =>
    extreme(value, given, { runtime, sign: -1 }),
  ),
  random: filter('random()', (value, _given, runtime) => random(value, runtime)),
  reject: select({ keeps: false, hasAttribute: false }),
  rejectattr: select({ keeps: false, hasAttribute: true }),
  reverse: filter('reverse()', (value, _given, runtime) => reverse(value, runtime)),
  round: filter('round(; precision, method)', round),
  select: select({ keeps: true, hasAttribute: false }),
  selectattr: select({ keeps: true, hasAttribute: true }),
  slice: filter('slice(slices; fill_with)', (value, given, runtime) => new Generator(slices(value, given, runtime))),
  sort: filter('sort(; reverse, case_sensitive, attribute)', sort),
  sum: filter('sum(; attribute, start)', sum),
  unique: filter('unique(; case_sensitive, attribute)', (value, given, runtime) => {
    return new Generator(unique(value, keyGetter(given.at(1), given.isTrue(0), runtime), runtime))
  }),
}
