import { JinjaError } from './jinja-error.ts'

/** A value of a template, with Python's types. Integers beyond 2^53 are `bigint`, a JavaScript number is always an integer. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | PyFloat
  | Markup
  | Value[]
  | Tuple
  | Dict
  | DictView
  | Range
  | Generator
  | Callable
  | TemplateObject
  | Undefined

/** A name or key that is not there: it prints as nothing, loops as empty and refuses everything else. */
export class Undefined {
  readonly message: string

  constructor(message: string) {
    this.message = message
  }

  /** @throws always */
  fail(): never {
    throw new JinjaError(this.message)
  }
}

/** A value, or what stands for one that is not there; none is a value. */
export function orUndefined(value: Value | undefined, message: string): Value {
  return value === undefined ? new Undefined(message) : value
}

/** A float, which JavaScript would not tell from an integer. */
export class PyFloat {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** Text marked as HTML by `escape` or `safe`: what is added to it is escaped. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export class Tuple {
  readonly items: readonly Value[]
  /** Names of the items, as `groupby` gives them. */
  readonly names: readonly string[]

  constructor(items: readonly Value[], names: readonly string[] = []) {
    this.items = items
    this.names = names
  }
}

/** What a dict looks a key up by: equal for keys that Python takes as equal (1, 1.0 and true). */
export type DictKey = string | number | bigint | null | symbol

/** A text as a key. What begins with U+0000 is set apart from the keys of tuples. */
export function textKey(text: string): string {
  return text.startsWith('\u0000') ? `\u0000${text}` : text
}

/** Keys in the order they came in. */
export class Dict {
  readonly entries = new Map<DictKey, readonly [key: Value, value: Value]>()

  get size(): number {
    return this.entries.size
  }

  /** As Python has it, the first of equal keys stays and the last value counts. */
  put(lookup: DictKey, key: Value, value: Value): void {
    const known = this.entries.get(lookup)
    this.entries.set(lookup, [known === undefined ? key : known[0], value])
  }

  /** For keys that are texts, which is what JSON has. */
  getText(name: string): Value | undefined {
    return this.entries.get(textKey(name))?.[1]
  }

  setText(name: string, value: Value): void {
    this.entries.set(textKey(name), [name, value])
  }

  deleteText(name: string): void {
    this.entries.delete(textKey(name))
  }

  keys(): Value[] {
    return Array.from(this.entries.values(), ([key]) => key)
  }

  copy(): Dict {
    const copy = new Dict()
    for (const [key, entry] of this.entries) copy.entries.set(key, entry)
    return copy
  }
}

/** `d.keys()`, `d.values()`, `d.items()`. */
export class DictView {
  readonly dict: Dict
  readonly kind: 'keys' | 'values' | 'items'

  constructor(dict: Dict, kind: 'keys' | 'values' | 'items') {
    this.dict = dict
    this.kind = kind
  }

  *[Symbol.iterator](): Iterator<Value> {
    for (const entry of this.dict.entries.values()) {
      if (this.kind === 'items') yield new Tuple(entry)
      else yield entry[this.kind === 'keys' ? 0 : 1]
    }
  }
}

export class Range {
  readonly start: number
  readonly stop: number
  readonly step: number

  constructor(start: number, stop: number, step: number) {
    this.start = start
    this.stop = stop
    this.step = step
  }

  get length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step))
  }

  at(index: number): number {
    return this.start + index * this.step
  }

  *[Symbol.iterator](): Iterator<Value> {
    for (let i = 0; i < this.length; i++) yield this.at(i)
  }
}

/** What `map`, `select` and their like give: it can be looped over once, and has no length. */
export class Generator {
  readonly iterator: Iterator<Value>

  constructor(iterable: Iterable<Value>) {
    this.iterator = iterable[Symbol.iterator]()
  }

  [Symbol.iterator](): Iterator<Value> {
    // Without `return`, so that a loop that breaks leaves the rest for the next one.
    return { next: () => this.iterator.next() }
  }
}

export interface CallArguments {
  readonly args: readonly Value[]
  readonly kwargs: ReadonlyMap<string, Value>
}

/** A macro, a method bound to its value, or a function of the environment. */
export class Callable {
  readonly name: string
  readonly call: (given: CallArguments) => Value
  /** Those of a macro; empty for other functions. */
  readonly attributes: ReadonlyMap<string, Value>

  constructor(name: string, call: (given: CallArguments) => Value, attributes: ReadonlyMap<string, Value> = new Map()) {
    this.name = name
    this.call = call
    this.attributes = attributes
  }
}

/** An object of the environment with attributes of its own, such as `loop` and `namespace()`. */
export abstract class TemplateObject {
  abstract readonly typeName: string
  abstract attribute(name: string): Value | undefined

  get isCallable(): boolean {
    return false
  }

  /** What `object(…)` does; most objects cannot be called. */
  call(_given: CallArguments): Value {
    throw new JinjaError(`'${this.typeName}' object is not callable`)
  }

  /** How it prints. */
  describe(): string {
    return `<${this.typeName} object>`
  }
}

export class Namespace extends TemplateObject {
  readonly typeName = 'Namespace'
  readonly attributes = new Dict()

  attribute(name: string): Value | undefined {
    return this.attributes.getText(name)
  }
}

export function isTrue(value: Value): boolean {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return value !== ''
  if (typeof value === 'number') return value !== 0
  if (value === null || value instanceof Undefined) return false
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Dict) return value.size > 0
  if (typeof value === 'bigint') return true
  if (value instanceof PyFloat) return value.value !== 0
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof DictView) return value.dict.size > 0
  if (value instanceof Range) return value.length > 0
  return true
}

/** Python's name of the type. */
export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'number' || typeof value === 'bigint') return 'int'
  if (typeof value === 'string') return 'str'
  if (Array.isArray(value)) return 'list'
  if (value instanceof PyFloat) return 'float'
  if (value instanceof Markup) return 'Markup'
  if (value instanceof Tuple) return 'tuple'
  if (value instanceof Dict) return 'dict'
  if (value instanceof DictView) return `dict_${value.kind}`
  if (value instanceof Range) return 'range'
  if (value instanceof Generator) return 'generator'
  if (value instanceof Callable) return 'function'
  if (value instanceof Undefined) return 'Undefined'
  return value.typeName
}

/** The text of a str, marked or not; `null` for other types. */
export function textOf(value: Value): string | null {
  if (typeof value === 'string') return value
  return value instanceof Markup ? value.text : null
}

/** The integer of an int or bool; `null` for other types. */
export function integerOf(value: Value): number | bigint | null {
  if (typeof value === 'number' || typeof value === 'bigint') return value
  return typeof value === 'boolean' ? Number(value) : null
}

/** As `integerOf`, for a count or index; beyond 2^53 it is as good as infinite. */
export function indexOf(value: Value): number | null {
  const integer = integerOf(value)
  return integer === null ? null : Number(integer)
}

/** An int of any size, in its one representation. */
export function toInteger(value: number | bigint): number | bigint {
  if (typeof value === 'number') return value
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}
