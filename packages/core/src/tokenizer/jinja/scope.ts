import { Undefined, type Value } from './values.ts'

/** Whether output is escaped, by where it stands in the template; `null`: by what an expression gave when it ran. */
export type Escaping = boolean | null

/** The variables of a block, in front of those around it. */
export class Scope {
  readonly #parent: Scope | null
  readonly #variables: Map<string, Value>
  readonly #hidden = new Set<string>()
  readonly escaping: Escaping

  constructor(
    parent: Scope | null,
    variables: Map<string, Value> = new Map(),
    escaping: Escaping = parent?.escaping ?? (parent === null ? false : null),
  ) {
    this.#parent = parent
    this.#variables = variables
    this.escaping = escaping
  }

  get(name: string): Value | undefined {
    const value = this.#variables.get(name)
    if (value !== undefined) return value
    if (this.#hidden.has(name)) return new Undefined(`'${name}' is undefined`)
    return this.#parent === null ? undefined : this.#parent.get(name)
  }

  set(name: string, value: Value): void {
    this.#variables.set(name, value)
  }

  /** Undefined here until it is set, whatever it is outside. */
  hide(name: string): void {
    this.#hidden.add(name)
  }

  /** The same variables as named blocks see them: what is not set here is what it is outside. */
  exported(): Scope {
    return new Scope(this.#parent === null ? null : this.#parent.exported(), this.#variables, this.escaping)
  }
}
