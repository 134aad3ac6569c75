import { createDfa, minimizeDfa, type Dfa } from '../automaton/dfa.ts'
import { spellPlain } from '../automaton/byte-dfa.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { literal, type GrammarWriter } from '../ebnf/grammar-writer.ts'
import type { WorkBudget } from '../work-budget.ts'
import type { Bound, NumberAlternative } from './alternative.ts'
import { schemaError } from './schema-error.ts'

/** As many decimal digits as a double keeps apart, so that what is written compares as what is read. */
const maxDigits = 15
const limit = 10n ** BigInt(maxDigits) - 1n
/** Residues are states; powers of ten are written as zeros. */
const maxDivisor = 128n

export interface NumberRulesOptions {
  readonly writer: GrammarWriter
  readonly budget: WorkBudget
  readonly pointer: string
}

/** EBNF of the numbers of an alternative; null where there are none. */
export function tryWriteNumber(alternative: NumberAlternative, options: NumberRulesOptions): string | null {
  const { isInteger, min, max, divisors } = alternative
  const { writer } = options
  if (isInteger) {
    if (min === null && max === null && divisors.length === 0)
      return writer.rule('integer', '"0" | "-"? [1-9] [0-9]{0,14}')
    return tryWriteInteger(alternative, options)
  }
  if (min !== null || max !== null) return tryWriteDecimal(alternative, options)
  return writer.rule('number', '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [+-]? [0-9]{1,2})?')
}

function tryWriteInteger({ min, max, divisors }: NumberAlternative, options: NumberRulesOptions): string | null {
  const { writer, budget, pointer } = options
  // Each residue is a state for each digit, so multiples without bounds are kept shorter.
  const most = divisors.length === 0 ? limit : 10n ** 9n - 1n
  const least = min === null ? -most : integerAbove(min)
  const greatest = max === null ? most : -integerAbove({ value: -max.value, isExclusive: max.isExclusive })
  if (least > greatest) return null
  if (least > limit || greatest < -limit) throw tooLarge(pointer)
  const divisor = divisors.map(BigInt).reduce(leastCommonMultiple, 1n)
  const [factor, numZeros] = splitTens(divisor)
  if (factor > maxDivisor) {
    throw schemaError(
      [pointer, 'multipleOf'],
      `comes to ${divisor}; only divisors up to ${maxDivisor} times a power of ten can be enforced`,
    )
  }
  const scale = 10n ** BigInt(numZeros)
  const [low, high] = [ceilDivide(clamp(least), scale), -ceilDivide(-clamp(greatest), scale)]
  const ways: string[] = []
  if (low <= 0n && high >= 0n) ways.push('"0"')
  const dfa = digitsDfa(
    { ranges: signedRanges(low, high), maxFraction: 0, divisor: Number(factor), mayBeZero: false },
    budget,
  )
  const nonzero = tryWriteDfa(dfa, writer, { spell: spellPlain, tail: '', hint: 'int', budget })
  if (nonzero !== null) ways.push(numZeros === 0 ? nonzero : `${nonzero} ${literal('0'.repeat(numZeros))}`)
  return ways.length === 0 ? null : `(${ways.join(' | ')})`
}

function tryWriteDecimal(
  { min, max }: NumberAlternative,
  { writer, budget, pointer }: NumberRulesOptions,
): string | null {
  const bound = Number(limit)
  if ((min !== null && min.value > bound) || (max !== null && max.value < -bound)) throw tooLarge(pointer)
  if (
    min !== null &&
    max !== null &&
    (min.value > max.value || (min.value === max.value && (min.isExclusive || max.isExclusive)))
  )
    return null
  const most = { value: bound, isExclusive: false }
  const negate = (other: Bound | null): Bound | null =>
    other === null ? null : { value: -other.value, isExclusive: other.isExclusive }
  const ranges: SignedRange[] = [
    ...rangeAbove(min, max ?? most, false),
    ...rangeAbove(negate(max), negate(min) ?? most, true),
  ]
  const dfa = digitsDfa({ ranges, maxFraction: maxDigits - 1, divisor: 1, mayBeZero: true }, budget)
  return tryWriteDfa(dfa, writer, { spell: spellPlain, tail: '', hint: 'num', budget })
}

function tooLarge(pointer: string): Error {
  return schemaError(
    [pointer, null],
    `allows only numbers of more than ${maxDigits} digits, which cannot be told apart; use smaller bounds`,
  )
}

/** Magnitudes of one sign: of at least `low` and at most `high`. */
interface SignedRange {
  readonly isNegative: boolean
  readonly low: Limit | null
  readonly high: Limit
}

/** A magnitude in decimal: "0.25" is "0" and "25". */
interface Limit {
  readonly whole: string
  readonly fraction: string
  readonly isExclusive: boolean
}

function rangeAbove(low: Bound | null, high: Bound, isNegative: boolean): SignedRange[] {
  if (high.value < 0) return []
  return [{ isNegative, low: low === null || low.value < 0 ? null : limitOf(low), high: limitOf(high) }]
}

function signedRanges(low: bigint, high: bigint): SignedRange[] {
  const plain = (value: bigint): Limit => ({ whole: String(value), fraction: '', isExclusive: false })
  return [
    ...(high > 0n ? [{ isNegative: false, low: low > 0n ? plain(low) : null, high: plain(high) }] : []),
    ...(low < 0n ? [{ isNegative: true, low: high < 0n ? plain(-high) : null, high: plain(-low) }] : []),
  ]
}

/** The decimal digits that JavaScript prints for a number of at least 0. */
function limitOf({ value, isExclusive }: Bound): Limit {
  const [mantissa, exponentText] = String(Math.abs(value)).split('e')
  const exponent = Number(exponentText ?? 0)
  const [whole, fraction = ''] = mantissa!.split('.')
  const digits = whole! + fraction
  const point = whole!.length + exponent
  const padded = point <= 0 ? '0'.repeat(1 - point) + digits : digits.padEnd(point, '0')
  const at = Math.max(1, point)
  return {
    whole: padded.slice(0, at).replace(/^0+(?=\d)/, ''),
    fraction: padded.slice(at).replace(/0+$/, ''),
    isExclusive,
  }
}

interface DigitsOptions {
  readonly ranges: readonly SignedRange[]
  readonly maxFraction: number
  readonly divisor: number
  readonly mayBeZero: boolean
}

type Order = 'less' | 'equal' | 'greater'

interface DigitsState {
  readonly phase: 'start' | 'minus' | 'whole' | 'point' | 'fraction'
  readonly range: SignedRange | null
  readonly isZero: boolean
  readonly numWhole: number
  readonly numFraction: number
  readonly low: Order
  readonly high: Order
  readonly residue: number
}

/** The automaton of decimal numbers in ranges: it compares with both limits digit by digit. */
function digitsDfa(options: DigitsOptions, budget: WorkBudget): Dfa {
  const start: DigitsState = {
    phase: 'start',
    range: null,
    isZero: false,
    numWhole: 0,
    numFraction: 0,
    low: 'equal',
    high: 'equal',
    residue: 0,
  }
  const rangeOf = (isNegative: boolean): SignedRange | null =>
    options.ranges.find((range) => range.isNegative === isNegative) ?? null
  const dfa = createDfa<DigitsState>(
    {
      start,
      key: (state) => Object.values({ ...state, range: state.range?.isNegative }).join(),
      isAccepting: (state) => isComplete(state, options),
      next: (state) => {
        const next: { first: number; last: number; to: DigitsState }[] = []
        const push = (character: string, to: DigitsState | null): void => {
          if (to !== null) next.push({ first: character.charCodeAt(0), last: character.charCodeAt(0), to })
        }
        if (state.phase === 'start' && rangeOf(true) !== null)
          push('-', { ...state, phase: 'minus', range: rangeOf(true) })
        if (state.phase === 'whole' && options.maxFraction > 0) push('.', endWhole(state))
        for (let digit = 0; digit <= 9; digit++) {
          const from = state.phase === 'start' ? { ...state, range: rangeOf(false) } : state
          push(String(digit), from.range === null ? null : tryDigit(from, digit, options))
        }
        return next
      },
    },
    budget,
  )
  return minimizeDfa(dfa, budget)
}

function tryDigit(state: DigitsState, digit: number, options: DigitsOptions): DigitsState | null {
  const { range, numWhole, numFraction } = state
  const residue = (state.residue * 10 + digit) % options.divisor
  if (state.phase === 'point' || state.phase === 'fraction') {
    if (numWhole + numFraction >= maxDigits || numFraction >= options.maxFraction) return null
    return {
      ...state,
      phase: 'fraction',
      isZero: state.isZero && digit === 0,
      numFraction: numFraction + 1,
      low: range!.low === null ? 'greater' : compareDigit(state.low, digit, range!.low.fraction[numFraction] ?? '0'),
      high: compareDigit(state.high, digit, range!.high.fraction[numFraction] ?? '0'),
    }
  }
  // No digit behind a leading zero, and none beyond what the upper limit has.
  if ((numWhole > 0 && state.isZero) || numWhole >= Math.min(maxDigits, range!.high.whole.length)) return null
  return {
    ...state,
    phase: 'whole',
    isZero: numWhole === 0 && digit === 0,
    numWhole: numWhole + 1,
    low:
      range!.low === null || numWhole >= range!.low.whole.length
        ? 'greater'
        : compareDigit(state.low, digit, range!.low.whole[numWhole]!),
    high: compareDigit(state.high, digit, range!.high.whole[numWhole]!),
    residue,
  }
}

function compareDigit(order: Order, digit: number, other: string): Order {
  if (order !== 'equal' || digit === Number(other)) return order
  return digit < Number(other) ? 'less' : 'greater'
}

/** The whole part is read: with fewer digits than a limit it is below it. */
function endWhole(state: DigitsState): DigitsState {
  const { range, numWhole } = state
  return {
    ...state,
    phase: 'point',
    low: range!.low === null ? 'greater' : numWhole < range!.low.whole.length ? 'less' : state.low,
    high: numWhole < range!.high.whole.length ? 'less' : state.high,
  }
}

function isComplete(state: DigitsState, options: DigitsOptions): boolean {
  if (state.phase !== 'whole' && state.phase !== 'fraction') return false
  const { low, high, range, numFraction, isZero, residue } = state.phase === 'whole' ? endWhole(state) : state
  // Minus zero equals zero: it is written without a sign.
  if (isZero && (range!.isNegative || !options.mayBeZero)) return false
  if (residue !== 0) return false
  const isEqualSoFar = (order: Order, limit: Limit): boolean =>
    order === 'equal' && numFraction >= limit.fraction.length
  const isBelow = high === 'less' || (high === 'equal' && !isEqualSoFar(high, range!.high))
  if (!isBelow && !(isEqualSoFar(high, range!.high) && !range!.high.isExclusive)) return false
  if (range!.low === null || low === 'greater') return true
  return isEqualSoFar(low, range!.low) && !range!.low.isExclusive
}

/** The least integer that a lower bound allows. */
function integerAbove({ value, isExclusive }: Bound): bigint {
  const integer = BigInt(Math.ceil(value))
  return isExclusive && Number.isInteger(value) ? integer + 1n : integer
}

function clamp(value: bigint): bigint {
  return value > limit ? limit : value < -limit ? -limit : value
}

function ceilDivide(value: bigint, divisor: bigint): bigint {
  const quotient = value / divisor
  return value > 0n && value % divisor !== 0n ? quotient + 1n : quotient
}

function splitTens(value: bigint): [factor: bigint, numZeros: number] {
  let factor = value
  let numZeros = 0
  for (; factor % 10n === 0n && numZeros < maxDigits; numZeros++) factor /= 10n
  return [factor, numZeros]
}

function leastCommonMultiple(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b]
  while (y > 0n) [x, y] = [y, x % y]
  return (a / x) * b
}
