import { JinjaError } from './jinja-error.ts'
import { type CallArguments, indexOf, isTrue, textOf, typeName, Undefined, type Value } from './values.ts'

/** Names of parameters, those that must be given first. */
export interface Signature {
  readonly name: string
  readonly params: readonly string[]
  readonly numRequired: number
}

/** `replace(old, new; count)`: the optional parameters stand after the semicolon. */
export function parseSignature(signature: string): Signature {
  const [, name = '', list = ''] = /^(\w+)\((.*)\)$/.exec(signature) ?? []
  const [required = [], optional = []] = list.split(';').map((part) =>
    part
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== ''),
  )
  return { name, params: [...required, ...optional], numRequired: required.length }
}

/** The arguments of a call in the order of the parameters; absent ones are `undefined`. */
export function bindArguments({ name, params, numRequired }: Signature, { args, kwargs }: CallArguments): Given {
  if (args.length > params.length)
    throw new JinjaError(`${name}() takes at most ${params.length} arguments, got ${args.length}`)
  const values: (Value | undefined)[] = params.map((_, index) => args[index])
  for (const [key, value] of kwargs) {
    const index = params.indexOf(key)
    if (index === -1) throw new JinjaError(`${name}() got an unexpected keyword argument '${key}'`)
    if (values[index] !== undefined) throw new JinjaError(`${name}() got multiple values for argument '${key}'`)
    values[index] = value
  }
  const absent = values.findIndex((value, index) => index < numRequired && value === undefined)
  if (absent !== -1) throw new JinjaError(`${name}() needs the argument '${params[absent]}'`)
  return new Given(name, values)
}

/** Bound arguments, read by type. */
export class Given {
  readonly #name: string
  readonly values: readonly (Value | undefined)[]

  constructor(name: string, values: readonly (Value | undefined)[]) {
    this.#name = name
    this.values = values
  }

  at(index: number): Value {
    return this.values[index] ?? null
  }

  has(index: number): boolean {
    return this.values[index] !== undefined
  }

  isTrue(index: number): boolean {
    return isTrue(this.at(index))
  }

  text(index: number): string {
    const value = this.at(index)
    return textOf(value) ?? this.fail('a text', value)
  }

  /** The text, or `null` where it is absent or none. */
  textOrNull(index: number): string | null {
    return this.at(index) === null ? null : this.text(index)
  }

  integer(index: number, absent: number): number {
    const value = this.at(index)
    if (value === null && !this.has(index)) return absent
    return indexOf(value) ?? this.fail('an integer', value)
  }

  /** As `integer`, where none means absent. */
  integerOrNull(index: number): number | null {
    const value = this.at(index)
    return value === null ? null : (indexOf(value) ?? this.fail('an integer', value))
  }

  fail(expected: string, value: Value): never {
    if (value instanceof Undefined) return value.fail()
    throw new JinjaError(`${this.#name}() expects ${expected}, got '${typeName(value)}'`)
  }
}
