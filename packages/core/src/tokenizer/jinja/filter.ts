import { bindArguments, type Given, parseSignature } from './arguments.ts'
import type { Budget } from './budget.ts'
import type { CallArguments, Value } from './values.ts'

/** What filters and tests can use of the rendering they run in. */
export interface Runtime {
  readonly budget: Budget
  /** Within `{% autoescape true %}`: filters that make HTML mark it. */
  readonly isEscaping: boolean
  applyFilter(name: string, value: Value, given: CallArguments): Value
  applyTest(name: string, value: Value, given: CallArguments): boolean
}

export type Filter = (value: Value, given: CallArguments, runtime: Runtime) => Value

/** A filter with named parameters, the optional ones after the semicolon: `replace(old, new; count)`. */
export function filter(signature: string, run: (value: Value, given: Given, runtime: Runtime) => Value): Filter {
  const spec = parseSignature(signature)
  return (value, given, runtime) => run(value, bindArguments(spec, given), runtime)
}
