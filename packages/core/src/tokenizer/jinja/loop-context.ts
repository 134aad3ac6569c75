import { isEqual } from './compare.ts'
import type { Budget } from './budget.ts'
import { JinjaError } from './jinja-error.ts'
import { TemplateObject, Callable, type CallArguments, Tuple, Undefined, type Value } from './values.ts'

export interface LoopOptions {
  readonly items: Iterable<Value>
  readonly depth: number
  /** Runs the loop's body over other items, where it is recursive. */
  readonly recurse: ((items: Value, depth: number) => Value) | null
  readonly budget: Budget
}

/** `loop` inside a `for`. Items are taken one ahead, all of them only where `length` is asked for. */
export class LoopContext extends TemplateObject {
  readonly typeName = 'LoopContext'
  readonly #options: LoopOptions
  readonly #iterator: Iterator<Value>
  #ahead: Value[] = []
  /** How many of `#ahead` are gone. */
  #numTaken = 0
  #index = -1
  #previous: Value
  #current: Value
  #lastChanged: Value | null = null

  constructor(options: LoopOptions) {
    super()
    this.#options = options
    this.#iterator = options.items[Symbol.iterator]()
    this.#previous = new Undefined('there is no previous item')
    this.#current = this.#previous
  }

  /** Moves on to the next item; `undefined` at the end. */
  next(): Value | undefined {
    if (!this.#peek()) return undefined
    if (this.#index >= 0) this.#previous = this.#current
    this.#index++
    this.#current = this.#ahead[this.#numTaken++]!
    return this.#current
  }

  attribute(name: string): Value | undefined {
    const { depth } = this.#options
    switch (name) {
      case 'index':
        return this.#index + 1
      case 'index0':
        return this.#index
      case 'first':
        return this.#index === 0
      case 'last':
        return !this.#peek()
      case 'length':
        return this.#length()
      case 'revindex':
        return this.#length() - this.#index
      case 'revindex0':
        return this.#length() - this.#index - 1
      case 'depth':
        return depth + 1
      case 'depth0':
        return depth
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : this.#previous
      case 'nextitem':
        return this.#peek() ? this.#ahead[this.#numTaken] : new Undefined('there is no next item')
      case 'cycle':
        return new Callable('cycle', ({ args }) => this.#cycle(args))
      case 'changed':
        return new Callable('changed', ({ args }) => this.#changed(args))
      default:
        return undefined
    }
  }

  override get isCallable(): boolean {
    return true
  }

  override call({ args }: CallArguments): Value {
    const { recurse, depth } = this.#options
    if (recurse === null) throw new JinjaError("The loop must have the 'recursive' marker to be called recursively.")
    if (args.length !== 1) throw new JinjaError('loop() takes the items to go over')
    return recurse(args[0]!, depth + 1)
  }

  override describe(): string {
    return `<LoopContext ${this.#index + 1}/${this.#length()}>`
  }

  #peek(): boolean {
    if (this.#ahead.length > this.#numTaken) return true
    this.#ahead = []
    this.#numTaken = 0
    const next = this.#iterator.next()
    if (next.done === true) return false
    this.#ahead.push(next.value)
    return true
  }

  #length(): number {
    for (let next = this.#iterator.next(); next.done !== true; next = this.#iterator.next()) {
      this.#options.budget.items(1)
      this.#ahead.push(next.value)
    }
    return this.#index + 1 + this.#ahead.length - this.#numTaken
  }

  #cycle(args: readonly Value[]): Value {
    if (args.length === 0) throw new JinjaError('no items for cycling given')
    return args[this.#index % args.length]!
  }

  #changed(args: readonly Value[]): boolean {
    const value = new Tuple(args)
    const isSame = this.#lastChanged !== null && isEqual(this.#lastChanged, value, this.#options.budget)
    if (!isSame) this.#lastChanged = value
    return !isSame
  }
}
