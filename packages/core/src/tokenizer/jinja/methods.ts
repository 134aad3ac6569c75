import { type Signature, bindArguments, type Given } from './arguments.ts'
import type { Budget } from './budget.ts'
import { isEqual, listOf, toKey } from './compare.ts'
import { stripTags, unescapeHtml } from './html.ts'
import { JinjaError } from './jinja-error.ts'
import { stringMethods } from './string-methods.ts'
import { sliceRange } from './text.ts'
import {
  Callable,
  Dict,
  DictView,
  indexOf,
  integerOf,
  Markup,
  PyFloat,
  Range,
  textOf,
  toInteger,
  Tuple,
  Undefined,
  type CallArguments,
  type Value,
} from './values.ts'

/** Methods that would change their object: the sandbox has none of them, and they hide keys of the same name. */
const hidden: Readonly<Record<string, ReadonlySet<string>>> = {
  list: new Set(['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']),
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
}

/** A method bound to its value, or an attribute such as a number's `real`; `undefined` where the type has none. */
export function methodOf(object: Value, name: string, budget: Budget): Value | undefined {
  const text = textOf(object)
  if (text !== null) return stringMethod(object, name, budget)
  if (Array.isArray(object)) return listMethod(object, name, budget) ?? refuse('list', name)
  if (object instanceof Dict) return dictMethod(object, name, budget) ?? refuse('dict', name)
  if (object instanceof Tuple) return sequenceMethod(object.items, name, budget)
  if (object instanceof DictView) return name === 'mapping' ? object.dict : undefined
  if (object instanceof Range) return rangeAttribute(object, name, budget)
  return numberAttribute(object, name)
}

function refuse(type: string, name: string): Undefined | undefined {
  return hidden[type]?.has(name) === true
    ? new Undefined(`access to attribute '${name}' of '${type}' object is unsafe.`)
    : undefined
}

function bind(signature: Signature, call: (given: Given) => Value): Callable {
  return new Callable(signature.name, (given) => call(bindArguments(signature, given)))
}

function stringMethod(object: Value, name: string, budget: Budget): Callable | undefined {
  if (object instanceof Markup && Object.hasOwn(markupMethods, name)) return markupMethod(object, name, budget)
  if (!Object.hasOwn(stringMethods, name)) return undefined
  const method = stringMethods[name]!
  const isMarkup = object instanceof Markup
  return new Callable(name, (given: CallArguments) => {
    const text = textOf(object)!
    budget.read(text.length)
    const result = method.call({ text, isMarkup, budget }, given)
    if (typeof result === 'string') {
      budget.text(result.length)
      return isMarkup ? new Markup(result) : result
    }
    if (Array.isArray(result)) budget.items(result.length)
    return isMarkup ? markItems(result) : result
  })
}

/** What marked text has beyond a text's methods. */
const markupMethods: Readonly<Record<string, (text: string) => string>> = {
  striptags: stripTags,
  unescape: unescapeHtml,
}

function markupMethod({ text }: Markup, name: string, budget: Budget): Callable {
  return bind({ name, params: [], numRequired: 0 }, () => {
    budget.text(text.length)
    return markupMethods[name]!(text)
  })
}

/** Parts of marked text are marked. */
function markItems(value: Value): Value {
  const mark = (item: Value): Value => (typeof item === 'string' ? new Markup(item) : item)
  if (Array.isArray(value)) return value.map(mark)
  return value instanceof Tuple ? new Tuple(value.items.map(mark)) : value
}

function listMethod(object: readonly Value[], name: string, budget: Budget): Callable | undefined {
  if (name === 'copy') return bind({ name, params: [], numRequired: 0 }, () => [...object])
  return sequenceMethod(object, name, budget)
}

function sequenceMethod(items: readonly Value[], name: string, budget: Budget): Callable | undefined {
  if (name === 'count') {
    return bind({ name, params: ['value'], numRequired: 1 }, (given) =>
      items.reduce<number>((count, item) => count + Number(isEqual(item, given.at(0), budget)), 0),
    )
  }
  if (name !== 'index') return undefined
  return bind({ name, params: ['value', 'start', 'stop'], numRequired: 1 }, (given) => {
    const [start, stop] = sliceRange([given.integerOrNull(1), given.integerOrNull(2), 1], items.length)
    const index = items.findIndex((item, at) => at >= start && at < stop && isEqual(item, given.at(0), budget))
    if (index === -1) throw new JinjaError('the value is not in the list')
    return index
  })
}

function dictMethod(dict: Dict, name: string, budget: Budget): Callable | undefined {
  switch (name) {
    case 'keys':
    case 'values':
    case 'items':
      return bind({ name, params: [], numRequired: 0 }, () => new DictView(dict, name))
    case 'get':
      return bind({ name, params: ['key', 'default'], numRequired: 1 }, (given) => {
        const entry = dict.entries.get(toKey(given.at(0), budget))
        return entry === undefined ? given.at(1) : entry[1]
      })
    case 'copy':
      return bind({ name, params: [], numRequired: 0 }, () => dict.copy())
    case 'fromkeys':
      return bind({ name, params: ['keys', 'value'], numRequired: 1 }, (given) => {
        const copy = new Dict()
        for (const key of listOf(given.at(0), budget)) copy.entries.set(toKey(key, budget), [key, given.at(1)])
        return copy
      })
    default:
      return undefined
  }
}

function rangeAttribute(range: Range, name: string, budget: Budget): Value | undefined {
  if (name === 'start' || name === 'stop' || name === 'step') return range[name]
  return sequenceMethod([...range], name, budget)
}

/** Methods of numbers that make bytes, or texts of them that no prompt has. */
const unsupported: ReadonlySet<string> = new Set(['to_bytes', 'from_bytes', 'hex', 'fromhex'])

function numberAttribute(object: Value, name: string): Value | undefined {
  const none = { name, params: [], numRequired: 0 }
  if (unsupported.has(name) && (object instanceof PyFloat || integerOf(object) !== null)) {
    return new Callable(name, () => {
      throw new JinjaError(`the method '${name}' of numbers is not supported`)
    })
  }
  if (name === 'as_integer_ratio' && object instanceof PyFloat) return bind(none, () => integerRatio(object.value))
  if (object instanceof PyFloat) {
    if (name === 'is_integer') return bind(none, () => Number.isInteger(object.value))
    if (name === 'real') return object
    return name === 'imag' ? new PyFloat(0) : name === 'conjugate' ? bind(none, () => object) : undefined
  }
  const integer = integerOf(object)
  if (integer === null) return undefined
  switch (name) {
    case 'real':
    case 'numerator':
      return integer
    case 'imag':
      return 0
    case 'denominator':
      return 1
    case 'conjugate':
      return bind(none, () => integer)
    case 'as_integer_ratio':
      return bind(none, () => new Tuple([integer, 1]))
    case 'bit_length':
      return bind(none, () => (indexOf(integer) === 0 ? 0 : integer.toString(2).replace('-', '').length))
    case 'bit_count':
      return bind(none, () => integer.toString(2).replace(/[^1]/g, '').length)
    default:
      return undefined
  }
}

/** The float as a fraction in lowest terms. */
function integerRatio(value: number): Tuple {
  if (!Number.isFinite(value)) throw new JinjaError('cannot convert an infinite or missing number to an integer ratio')
  let [numerator, denominator] = [value, 1n]
  while (!Number.isInteger(numerator)) {
    numerator *= 2
    denominator *= 2n
  }
  return new Tuple([toInteger(BigInt(numerator)), toInteger(denominator)])
}
