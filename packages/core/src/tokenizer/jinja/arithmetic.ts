import type { BinaryOperator } from './ast.ts'
import type { Budget } from './budget.ts'
import { numberOf } from './compare.ts'
import { JinjaError } from './jinja-error.ts'
import { formatPercent } from './percent-format.ts'
import { toText } from './printing.ts'
import { escapeHtml } from './html.ts'
import { indexOf, Markup, PyFloat, textOf, toInteger, Tuple, typeName, Undefined, type Value } from './values.ts'

/** Of the integers that powers make; Python would print no more anyway. */
const maxBits = 16_384

/** Python's operator on two values. */
export function operate(operator: BinaryOperator, [left, right]: readonly [Value, Value], budget: Budget): Value {
  if (left instanceof Undefined) return left.fail()
  if (operator === '%' && textOf(left) !== null) return percent(left, right, budget)
  if (right instanceof Undefined) return right.fail()
  const [x, y] = [numberOf(left), numberOf(right)]
  if (x !== null && y !== null) {
    if (left instanceof PyFloat || right instanceof PyFloat || operator === '/')
      return floatOperation(operator, Number(x), Number(y))
    return integerOperation(operator, x, y)
  }
  const joined = operator === '+' ? join(left, right, budget) : operator === '*' ? repeat(left, right, budget) : null
  if (joined !== null) return joined
  throw new JinjaError(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`)
}

function percent(left: Value, right: Value, budget: Budget): Value {
  const text = textOf(left)!
  const isMarkup = left instanceof Markup
  const formatted = formatPercent(text, right, { budget, isMarkup })
  return isMarkup ? new Markup(formatted) : formatted
}

function join(left: Value, right: Value, budget: Budget): Value | null {
  const [s, t] = [textOf(left), textOf(right)]
  if (s !== null && t !== null) {
    budget.text(s.length + t.length)
    if (left instanceof Markup) return new Markup(s + (right instanceof Markup ? t : escapeHtml(t)))
    return right instanceof Markup ? new Markup(escapeHtml(s) + t) : s + t
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    budget.items(left.length + right.length)
    return left.concat(right)
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    budget.items(left.items.length + right.items.length)
    return new Tuple(left.items.concat(right.items))
  }
  return null
}

function repeat(left: Value, right: Value, budget: Budget): Value | null {
  const [value, factor] = indexOf(right) === null ? [right, left] : [left, right]
  const given = indexOf(factor)
  if (given === null) return null
  const count = Math.max(0, given)
  const text = textOf(value)
  if (text !== null) {
    budget.text(text.length * count)
    const whole = text.repeat(text === '' ? 0 : count)
    return value instanceof Markup ? new Markup(whole) : whole
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : null
  if (items === null) return null
  budget.items(items.length * count)
  const whole = items.length === 0 ? [] : Array.from({ length: count }, () => items).flat()
  return Array.isArray(value) ? whole : new Tuple(whole)
}

function floatOperation(operator: BinaryOperator, x: number, y: number): PyFloat {
  if (y === 0 && (operator === '/' || operator === '//' || operator === '%'))
    throw new JinjaError(operator === '%' ? 'float modulo' : 'float division by zero')
  switch (operator) {
    case '+':
      return new PyFloat(x + y)
    case '-':
      return new PyFloat(x - y)
    case '*':
      return new PyFloat(x * y)
    case '/':
      return new PyFloat(x / y)
    case '//':
      return new PyFloat(Math.floor((x - floatModulo(x, y)) / y + 0.5))
    case '%':
      return new PyFloat(floatModulo(x, y))
    case '**':
      if (x === 0 && y < 0) throw new JinjaError('0.0 cannot be raised to a negative power')
      if (x < 0 && !Number.isInteger(y)) throw new JinjaError('a negative number has no real power of a fraction')
      return new PyFloat(x === 1 ? 1 : x ** y)
  }
}

/** The remainder has the sign of the divisor. */
function floatModulo(x: number, y: number): number {
  const rest = x % y
  if (rest === 0) return y < 0 ? -0 : 0
  return rest < 0 === y < 0 ? rest : rest + y
}

function integerOperation(operator: BinaryOperator, x: number | bigint, y: number | bigint): Value {
  if (typeof x === 'number' && typeof y === 'number') {
    const quick = quickOperation(operator, x, y)
    if (quick !== null && Number.isSafeInteger(quick)) return quick === 0 ? 0 : quick
  }
  const [a, b] = [BigInt(x), BigInt(y)]
  switch (operator) {
    case '+':
      return bounded(a + b)
    case '-':
      return bounded(a - b)
    case '*':
      return bounded(a * b)
    case '//':
    case '%': {
      if (b === 0n) throw new JinjaError('integer division or modulo by zero')
      const rest = a % b
      const isOff = rest !== 0n && rest < 0n !== b < 0n
      return operator === '%' ? toInteger(isOff ? rest + b : rest) : toInteger((a - rest) / b - (isOff ? 1n : 0n))
    }
    default:
      return integerPower(a, b)
  }
}

function quickOperation(operator: BinaryOperator, x: number, y: number): number | null {
  switch (operator) {
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
    case '%':
      return y === 0 ? null : ((x % y) + y) % y
    case '//':
      return y === 0 ? null : (x - (((x % y) + y) % y)) / y
    default:
      return null
  }
}

function integerPower(base: bigint, exponent: bigint): Value {
  if (exponent < 0n) {
    if (base === 0n) throw new JinjaError('0 cannot be raised to a negative power')
    return new PyFloat(Number(base) ** Number(exponent))
  }
  const bits = BigInt(base.toString(2).length) * exponent
  if (base !== 0n && base !== 1n && base !== -1n && bits > BigInt(maxBits))
    throw new JinjaError(`an integer would have more than ${maxBits} bits`)
  return toInteger(base ** exponent)
}

function bounded(value: bigint): number | bigint {
  if (BigInt.asIntN(maxBits, value) !== value) throw new JinjaError(`an integer would have more than ${maxBits} bits`)
  return toInteger(value)
}

export function negate(value: Value): Value {
  if (value instanceof PyFloat) return new PyFloat(-value.value)
  return integerOperation('-', 0, requireNumber(value, '-'))
}

export function plus(value: Value): Value {
  return value instanceof PyFloat ? value : requireNumber(value, '+')
}

function requireNumber(value: Value, operator: string): number | bigint {
  if (value instanceof Undefined) return value.fail()
  const number = numberOf(value)
  if (number === null) throw new JinjaError(`bad operand type for unary ${operator}: '${typeName(value)}'`)
  return number
}

/** `a ~ b`. Where output is escaped, one marked text among them has all others escaped. */
export function concat(values: readonly Value[], isEscaping: boolean, budget: Budget): Value {
  const isMarked = isEscaping && values.some((value) => value instanceof Markup)
  const texts = values.map((value) => {
    const text = toText(value, budget)
    return isMarked && !(value instanceof Markup) ? escapeHtml(text) : text
  })
  budget.text(texts.reduce((sum, text) => sum + text.length, 0))
  const whole = texts.join('')
  return isMarked ? new Markup(whole) : whole
}
