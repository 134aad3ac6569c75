import type { Value } from './values.ts'

/** The variables of a block, in front of those around it. */
export class Scope {
  readonly #parent: Scope | null
  readonly #variables: Map<string, Value>

  constructor(parent: Scope | null, variables: Map<string, Value> = new Map()) {
    this.#parent = parent
    this.#variables = variables
  }

  get(name: string): Value | undefined {
    const value = this.#variables.get(name)
    if (value !== undefined || this.#parent === null) return value
    return this.#parent.get(name)
  }

  set(name: string, value: Value): void {
    this.#variables.set(name, value)
  }
}
