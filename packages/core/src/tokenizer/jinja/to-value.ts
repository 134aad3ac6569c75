import { RawJson } from '../raw-json.ts'
import { JinjaError } from './jinja-error.ts'
import { parseJson } from './parse-json.ts'
import {
  Callable,
  Dict,
  DictView,
  Generator,
  Markup,
  PyFloat,
  Range,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values.ts'

const maxDepth = 200
const valueClasses = [PyFloat, Dict, Tuple, Markup, Callable, TemplateObject, Undefined, DictView, Range, Generator]

/**
 * JavaScript's values as a template's. A whole number is an int, which JavaScript cannot tell from 1.0, and keys that look
 * like indexes come first, as objects have them: what must arrive as it was sent comes as `RawJson`.
 */
export function toValue(value: unknown, depth = 0): Value {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'bigint':
      return value
    case 'number':
      return Number.isInteger(value) ? toInt(value) : new PyFloat(value)
    case 'object':
      return value === null ? null : objectValue(value, depth)
    default:
      throw new JinjaError(`a ${typeof value} cannot enter a chat template`)
  }
}

function toInt(value: number): number | bigint {
  return Number.isSafeInteger(value) ? value + 0 : BigInt(value)
}

function objectValue(value: object, depth: number): Value {
  if (depth > maxDepth) throw new JinjaError(`a value is nested more than ${maxDepth} levels deep`)
  if (Array.isArray(value)) return value.map((item: unknown) => (item === undefined ? null : toValue(item, depth + 1)))
  if (value instanceof RawJson) return parseJson(value.text)
  if (valueClasses.some((known) => value instanceof known)) return value as Value
  const dict = new Dict()
  const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value : Object.entries(value)
  for (const [key, item] of entries) {
    if (item !== undefined && typeof item !== 'function') dict.setText(String(key), toValue(item, depth + 1))
  }
  return dict
}
