import { InvalidConfigError } from '../errors.ts'
import { type MemoryBudget, tryParseMemory } from './memory-budget.ts'

/** What an option takes, as data: checks, flags and documents read the same. */
export type OptionType =
  | { readonly kind: 'text' }
  /** Text that the command line takes from a file too. */
  | { readonly kind: 'template' }
  /** One text or several. */
  | { readonly kind: 'names' }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'choice'; readonly choices: readonly (string | boolean)[] }
  | { readonly kind: 'integer' | 'number'; readonly min: number; readonly max: number }
  /** Several, in order: an array, or `1,2,3`. */
  | { readonly kind: 'integers'; readonly min: number; readonly max: number }
  | { readonly kind: 'memory' }

/** One option: all that its check, its flag, the flag's help and the documentation say of it. */
export interface OptionRow {
  readonly group: string
  readonly type: OptionType
  /** Null where nothing is set; `otherwise` says what holds then. */
  readonly default: string | number | boolean | null
  readonly otherwise?: string
  /** What a number counts. */
  readonly unit?: 'tokens' | 'sequences' | 'seconds' | 'milliseconds' | 'entries' | 'threads' | 'bytes'
  /** One letter for the command line, such as `-p`. */
  readonly short?: string
  /** The variable that stands in where the option is not given. */
  readonly env?: string
  /** No message and no log shows its value. */
  readonly isSecret?: true
  /** Whole sentences in Markdown. */
  readonly doc: string
}

export type OptionTable = Readonly<Record<string, OptionRow>>

/** What a value is once it has been checked. */
export type OptionValue<Type extends OptionType> = Type extends { kind: 'text' | 'template' }
  ? string
  : Type extends { kind: 'names' }
    ? readonly string[]
    : Type extends { kind: 'boolean' }
      ? boolean
      : Type extends { kind: 'choice'; choices: readonly (infer Choice)[] }
        ? Choice
        : Type extends { kind: 'integer' | 'number' }
          ? number
          : Type extends { kind: 'integers' }
            ? readonly number[]
            : MemoryBudget

/** What a user may give for it. */
export type OptionInput<Type extends OptionType> = Type extends { kind: 'names' }
  ? string | readonly string[]
  : Type extends { kind: 'memory' }
    ? number | string
    : Type extends { kind: 'integers' }
      ? string | readonly number[]
      : OptionValue<Type>

export type ResolvedOptions<Table extends OptionTable> = {
  readonly [Name in keyof Table]:
    | OptionValue<Table[Name]['type']>
    | (Table[Name]['default'] extends null ? null : never)
}

/**
 * Checks what is given and fills in the defaults; `undefined` is not given.
 *
 * @throws InvalidConfigError naming the option, its value and what is allowed
 */
export function resolveOptions<Table extends OptionTable>(
  table: Table,
  given: Readonly<Record<string, unknown>>,
): ResolvedOptions<Table> {
  const values = Object.entries(table).map(([name, row]) => {
    const value = given[name] === undefined ? row.default : given[name]
    return [name, given[name] === undefined && value === null ? null : checkOption(name, row, value)]
  })
  return Object.fromEntries(values) as ResolvedOptions<Table> // name by name what the table says
}

/** The value as the engine takes it. @throws InvalidConfigError when it is none of this type */
function checkOption(name: string, { type, isSecret }: OptionRow, value: unknown): unknown {
  const checked = tryOption(type, value)
  if (checked === null) {
    const got = isSecret === true ? 'something else' : JSON.stringify(value)
    throw new InvalidConfigError(name, `must be ${describeType(type)}, got ${got}`)
  }
  return checked
}

function tryOption(type: OptionType, value: unknown): unknown {
  switch (type.kind) {
    case 'text':
    case 'template':
      return isText(value) ? value : null
    case 'names': {
      const list: unknown[] = [value].flat()
      return list.length > 0 && list.every(isText) ? list : null
    }
    case 'boolean':
      return typeof value === 'boolean' ? value : null
    case 'choice':
      return type.choices.find((choice) => choice === value) ?? null
    case 'integer':
    case 'number': {
      const isNumber = type.kind === 'integer' ? Number.isSafeInteger(value) : Number.isFinite(value)
      return isNumber && Number(value) >= type.min && Number(value) <= type.max ? value : null
    }
    case 'integers': {
      const list = typeof value === 'string' ? value.split(',').map(toInteger) : value
      const isInRange = (item: unknown): boolean =>
        Number.isSafeInteger(item) && Number(item) >= type.min && Number(item) <= type.max
      return Array.isArray(list) && list.length > 0 && list.every(isInRange) ? list : null
    }
    case 'memory':
      return tryParseMemory(value)
  }
}

/** NaN for what is no number: an empty text would be 0. */
function toInteger(text: string): number {
  return /^\s*[+-]?\d+\s*$/.test(text) ? Number(text) : NaN
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== ''
}

/** For error messages and the documentation: `an integer from 1 to 1024`. */
export function describeType(type: OptionType): string {
  switch (type.kind) {
    case 'text':
    case 'template':
      return 'a text of at least one character'
    case 'names':
      return 'one or more non-empty names'
    case 'boolean':
      return 'true or false'
    case 'choice':
      return `one of ${type.choices.join(', ')}`
    case 'integer':
    case 'number': {
      const noun = type.kind === 'integer' ? 'an integer' : 'a number'
      return type.max === Number.MAX_SAFE_INTEGER
        ? `${noun} of at least ${type.min}`
        : `${noun} from ${type.min} to ${type.max}`
    }
    case 'integers':
      return `integers from ${type.min} to ${type.max}, such as 10,12`
    case 'memory':
      return "a number of bytes, a size such as '2GiB', or a share of free memory such as '40%' (up to 95%)"
  }
}

/** `maxNumSeqs` on the command line: `--max-num-seqs`. */
export function flagOf(option: string): string {
  return `--${option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}
