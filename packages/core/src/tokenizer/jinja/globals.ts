import type { Budget } from './budget.ts'
import { iterate, listOf, toKey } from './compare.ts'
import { formatTime } from '../format-time.ts'
import { JinjaError, RaisedException } from './jinja-error.ts'
import { toText } from './printing.ts'
import {
  Callable,
  type CallArguments,
  Dict,
  integerOf,
  Namespace,
  Range,
  TemplateObject,
  textOf,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

const maxRange = 100_000

/** Functions that every template has. */
export function createGlobals(budget: Budget): Map<string, Value> {
  const functions: Readonly<Record<string, (given: CallArguments) => Value>> = {
    range: ({ args }) => range(args),
    dict: (given) => dictOf(given, budget),
    namespace: (given) => namespace(given, budget),
    cycler: ({ args }) => new Cycler(args),
    joiner: ({ args, kwargs }) => new Joiner(args[0] ?? kwargs.get('sep') ?? ', '),
    raise_exception: ({ args, kwargs }) => {
      throw new RaisedException(toText(args.length > 0 ? args[0]! : (kwargs.get('message') ?? null), budget))
    },
    lipsum: () => {
      throw new JinjaError('lipsum() is not supported: it makes random text')
    },
    strftime_now: ({ args, kwargs }) => {
      const format = textOf(args[0] ?? kwargs.get('format') ?? null)
      if (format === null) throw new JinjaError('strftime_now() expects a format')
      budget.text(format.length * 16)
      return formatTime(format)
    },
  }
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]))
}

function range(args: readonly Value[]): Range {
  const bounds = args.map((arg) => {
    if (arg instanceof Undefined) return arg.fail()
    const integer = integerOf(arg)
    if (integer === null) throw new JinjaError(`'${typeName(arg)}' object cannot be interpreted as an integer`)
    return Number(integer)
  })
  if (bounds.length < 1 || bounds.length > 3)
    throw new JinjaError(`range expected 1 to 3 arguments, got ${bounds.length}`)
  const [start = 0, stop = 0, step = 1] = bounds.length === 1 ? [0, bounds[0]] : bounds
  if (step === 0) throw new JinjaError('range() arg 3 must not be zero')
  const result = new Range(start, stop, step)
  if (result.length > maxRange)
    throw new JinjaError(`Range too big. The sandbox blocks ranges larger than ${maxRange}.`)
  return result
}

function dictOf({ args, kwargs }: CallArguments, budget: Budget): Dict {
  const [source = null] = args
  const dict = source instanceof Dict ? source.copy() : new Dict()
  if (source !== null && !(source instanceof Dict)) {
    for (const pair of iterate(source)) {
      const [key = null, value = null, ...others] = listOf(pair, budget)
      if (others.length > 0) throw new JinjaError('dict() expects pairs of key and value')
      dict.put(toKey(key, budget), key, value)
    }
  }
  for (const [name, value] of kwargs) dict.setText(name, value)
  return dict
}

function namespace(given: CallArguments, budget: Budget): Namespace {
  const object = new Namespace()
  for (const [key, entry] of dictOf(given, budget).entries) object.attributes.entries.set(key, entry)
  return object
}

class Cycler extends TemplateObject {
  readonly typeName = 'Cycler'
  readonly #items: readonly Value[]
  #position = 0

  constructor(items: readonly Value[]) {
    super()
    if (items.length === 0) throw new JinjaError('at least one item has to be provided')
    this.#items = items
  }

  attribute(name: string): Value | undefined {
    if (name === 'current') return this.#items[this.#position]
    if (name === 'next') return new Callable('next', () => this.#next())
    if (name !== 'reset') return undefined
    return new Callable('reset', () => {
      this.#position = 0
      return null
    })
  }

  #next(): Value {
    const item = this.#items[this.#position]!
    this.#position = (this.#position + 1) % this.#items.length
    return item
  }
}

class Joiner extends TemplateObject {
  readonly typeName = 'Joiner'
  readonly #separator: Value
  #isUsed = false

  constructor(separator: Value) {
    super()
    this.#separator = separator
  }

  attribute(): undefined {
    return undefined
  }

  override get isCallable(): boolean {
    return true
  }

  override call(): Value {
    const isFirst = !this.#isUsed
    this.#isUsed = true
    return isFirst ? '' : this.#separator
  }
}
