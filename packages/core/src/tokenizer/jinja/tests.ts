import { operate } from './arithmetic.ts'
import { compareValues, isEqual, isIn, iterate, toKey } from './compare.ts'
import type { Runtime } from './filter.ts'
import { JinjaError } from './jinja-error.ts'
import { isLower, isUpper } from './letter-case.ts'
import { listFilters } from './list-filters.ts'
import { textFilters } from './text-filters.ts'
import { toText } from './printing.ts'
import {
  Callable,
  Dict,
  integerOf,
  Markup,
  PyFloat,
  Range,
  TemplateObject,
  textOf,
  Tuple,
  Undefined,
  type Value,
} from './values.ts'

type Test = (value: Value, arg: Value, runtime: Runtime) => boolean

/** A test with or without its one argument. */
interface TestSpec {
  readonly numArgs: 0 | 1
  readonly run: Test
}

const plain = (run: Test): TestSpec => ({ numArgs: 0, run })
const binary = (run: Test): TestSpec => ({ numArgs: 1, run })

const order = (sign: string, holds: (order: number) => boolean): TestSpec =>
  binary((value, arg, { budget }) => holds(compareValues(value, arg, { budget, sign })))

const equal = binary((value, arg, { budget }) => isEqual(value, arg, budget))
const unequal = binary((value, arg, { budget }) => !isEqual(value, arg, budget))
const less = order('<', (sign) => sign < 0)
const lessOrEqual = order('<=', (sign) => sign <= 0)
const greater = order('>', (sign) => sign > 0)
const greaterOrEqual = order('>=', (sign) => sign >= 0)

function remainder(value: Value, divisor: Value, { budget }: Runtime): Value {
  return operate('%', [value, divisor], budget)
}

function isSequence(value: Value): boolean {
  return (
    textOf(value) !== null ||
    Array.isArray(value) ||
    value instanceof Dict ||
    value instanceof Tuple ||
    value instanceof Range ||
    value instanceof Undefined
  )
}

function isIterable(value: Value): boolean {
  try {
    iterate(value)
    return true
  } catch (error) {
    if (error instanceof JinjaError) return false
    throw error
  }
}

function isSame(a: Value, b: Value): boolean {
  return a instanceof PyFloat && b instanceof PyFloat ? a === b : Object.is(a, b)
}

function isInteger(value: Value): boolean {
  return typeof value !== 'boolean' && integerOf(value) !== null
}

export const tests: Readonly<Record<string, TestSpec>> = {
  '!=': unequal,
  '<': less,
  '<=': lessOrEqual,
  '==': equal,
  '>': greater,
  '>=': greaterOrEqual,
  boolean: plain((value) => typeof value === 'boolean'),
  // Undefined has a method that fails when it is called, as Jinja2 sees it.
  callable: plain((value) => isCallable(value)),
  defined: plain((value) => !(value instanceof Undefined)),
  divisibleby: binary((value, arg, runtime) => isEqual(remainder(value, arg, runtime), 0, runtime.budget)),
  eq: equal,
  equalto: equal,
  escaped: plain((value) => value instanceof Markup),
  even: plain((value, _arg, runtime) => isEqual(remainder(value, 2, runtime), 0, runtime.budget)),
  false: plain((value) => value === false),
  filter: plain((value, _arg, runtime) => isNamed(value, runtime, textFilters, listFilters)),
  float: plain((value) => value instanceof PyFloat),
  ge: greaterOrEqual,
  greaterthan: greater,
  gt: greater,
  in: binary((value, arg, { budget }) => isIn(value, arg, budget)),
  integer: plain(isInteger),
  iterable: plain(isIterable),
  le: lessOrEqual,
  lessthan: less,
  lower: plain((value, _arg, { budget }) => isLower(toText(value, budget))),
  lt: less,
  mapping: plain((value) => value instanceof Dict),
  ne: unequal,
  none: plain((value) => value === null),
  number: plain((value) => typeof value === 'boolean' || isInteger(value) || value instanceof PyFloat),
  odd: plain((value, _arg, runtime) => isEqual(remainder(value, 2, runtime), 1, runtime.budget)),
  sameas: binary(isSame),
  sequence: plain(isSequence),
  string: plain((value) => textOf(value) !== null),
  test: plain((value, _arg, runtime) => isNamed(value, runtime, tests)),
  true: plain((value) => value === true),
  undefined: plain((value) => value instanceof Undefined),
  upper: plain((value, _arg, { budget }) => isUpper(toText(value, budget))),
}

function isCallable(value: Value): boolean {
  if (value instanceof TemplateObject) return value.isCallable
  return value instanceof Callable || value instanceof Undefined
}

/** Whether there is a filter or test of the name. */
function isNamed(value: Value, { budget }: Runtime, ...tables: readonly object[]): boolean {
  const key = toKey(value, budget)
  return typeof key === 'string' && tables.some((table) => Object.hasOwn(table, key))
}
