import type { Budget } from './budget.ts'
import { toKey } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { methodOf } from './methods.ts'
import { quoteText, repr } from './printing.ts'
import { formatText } from './string-format.ts'
import { charsOf, sliceRange } from './text.ts'
import {
  type CallArguments,
  Callable,
  Dict,
  indexOf,
  Markup,
  PyFloat,
  Range,
  TemplateObject,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

/** `a.name`: an attribute or method, else the item of that name. A dict's methods win over its keys. */
export function getAttribute(object: Value, name: string, budget: Budget): Value {
  const attribute = attributeOf(object, name, budget)
  if (attribute !== undefined) return attribute
  const item = itemOf(object, name, budget)
  return item === undefined ? missing(object, name, budget) : item
}

/** `a[key]`: an item, else the attribute of that name. */
export function getItem(object: Value, key: Value, budget: Budget): Value {
  if (object instanceof Undefined) return object.fail()
  const item = itemOf(object, key, budget)
  if (item !== undefined) return item
  const name = textOf(key)
  const attribute = name === null ? undefined : attributeOf(object, name, budget)
  return attribute === undefined ? missing(object, key, budget) : attribute
}

/** Attributes alone, as the filter `attr` gives them. */
export function attributeOf(object: Value, name: string, budget: Budget): Value | undefined {
  if (object instanceof Undefined) return object.fail()
  if (name.startsWith('_')) return undefined
  if (object instanceof TemplateObject) return object.attribute(name)
  if (object instanceof Callable) return object.attributes.get(name)
  if (object instanceof Tuple && object.names.includes(name)) return object.items[object.names.indexOf(name)]
  if (name === 'format' || name === 'format_map') return formatMethod(object, name, budget)
  return methodOf(object, name, budget)
}

/** Python's `str.format`, which can itself look into its values. */
function formatMethod(object: Value, name: string, budget: Budget): Callable | undefined {
  const text = textOf(object)
  if (text === null) return undefined
  const isMarkup = object instanceof Markup
  return new Callable(name, (given) => {
    const { args, kwargs } = name === 'format' ? given : mappingArguments(given)
    const formatted = formatText(text, { args, kwargs, isMarkup, getAttribute, getItem }, budget)
    return isMarkup ? new Markup(formatted) : formatted
  })
}

function mappingArguments({ args: [mapping] }: CallArguments): CallArguments {
  // Python asks for a value only where a field needs one.
  const entries = mapping instanceof Dict ? mapping.entries.values() : []
  const kwargs = Array.from(entries, ([key, value]) => [textOf(key) ?? '', value] as const)
  return { args: [], kwargs: new Map(kwargs) }
}

function itemOf(object: Value, key: Value, budget: Budget): Value | undefined {
  if (object instanceof Undefined) return object.fail()
  if (object instanceof Dict) {
    if (Array.isArray(key) || key instanceof Dict) return undefined
    return object.entries.get(toKey(key, budget))?.[1]
  }
  if (typeof key === 'string' || key instanceof PyFloat) return undefined
  const index = indexOf(key)
  if (index === null) return undefined
  if (Array.isArray(object)) return object[index < 0 ? index + object.length : index]
  if (object instanceof Tuple) return object.items[index < 0 ? index + object.items.length : index]
  if (object instanceof Range) {
    const at = index < 0 ? index + object.length : index
    return at >= 0 && at < object.length ? object.at(at) : undefined
  }
  const text = textOf(object)
  if (text === null) return undefined
  budget.read(text.length)
  const chars = charsOf(text)
  const char = chars[index < 0 ? index + chars.length : index]
  return object instanceof Markup && char !== undefined ? new Markup(char) : char
}

function missing(object: Value, key: Value, budget: Budget): Undefined {
  const owner = object === null ? 'None' : `${typeName(object)} object`
  const name = textOf(key)
  return new Undefined(
    name === null
      ? `${owner} has no element ${repr(key, budget)}`
      : `${quoteText(owner, budget)} has no attribute ${quoteText(name, budget)}`,
  )
}

/** `a[start:stop:step]`. */
export function getSlice(object: Value, bounds: readonly [Value, Value, Value], budget: Budget): Value {
  if (object instanceof Undefined) return object.fail()
  const sequence = sequenceOf(object)
  if (sequence === null) throw new JinjaError(`'${typeName(object)}' object is not subscriptable`)
  const [start, stop, step] = [sliceIndex(bounds[0]), sliceIndex(bounds[1]), sliceIndex(bounds[2]) ?? 1]
  if (step === 0) throw new JinjaError('slice step cannot be zero')
  const [first, last] = sliceRange([start, stop, step], sequence.length)
  if (object instanceof Range) return new Range(object.at(first), object.at(last), object.step * step)
  if (step === 1) budget.items(typeof sequence === 'string' ? 0 : Math.max(0, last - first))
  if (typeof sequence === 'string' && step === 1) {
    const part = sequence.slice(first, Math.max(first, last))
    budget.text(part.length)
    return object instanceof Markup ? new Markup(part) : part
  }
  const items: (Value | string)[] = []
  for (let i = first; step > 0 ? i < last : i > last; i += step) items.push(sequence[i]!)
  budget.items(items.length)
  if (Array.isArray(object)) return items
  if (object instanceof Tuple) return new Tuple(items)
  const text = items.join('')
  return object instanceof Markup ? new Markup(text) : text
}

export function isSliceable(object: Value): boolean {
  return sequenceOf(object) !== null
}

function sequenceOf(
  object: Value,
): string | readonly Value[] | { readonly length: number; [index: number]: never } | null {
  if (Array.isArray(object)) return object
  if (object instanceof Tuple) return object.items
  if (object instanceof Range) return { length: object.length }
  const text = textOf(object)
  return text === null ? null : charsOf(text)
}

function sliceIndex(value: Value): number | null {
  if (value === null) return null
  if (value instanceof Undefined) return value.fail()
  const index = value instanceof PyFloat ? null : indexOf(value)
  if (index === null) throw new JinjaError('slice indices must be integers or None')
  return index
}
