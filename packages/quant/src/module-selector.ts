import { InvalidConfigError } from '@octavo/core/backend'
import type { LinearRole } from '@octavo/core/model'
import { createModulePattern, createPatternBudget } from '@octavo/core/quantization'

/** What a pass works on: class names (`Linear`, `Embedding`), modules by their names in full, or `re:` and a pattern. */
export interface ModuleSelection {
  /** Default `['Linear']`: all but routers and the embedding. */
  readonly targets?: readonly string[]
  /** Left out of these. */
  readonly ignore?: readonly string[]
}

/** Whether a module is selected, by its name and role. */
export type SelectsModule = (module: { readonly name: string; readonly role: LinearRole }) => boolean

/**
 * compressed-tensors' rules: a name in full or `re:<pattern>` as Python's `re.match` finds it, from the name's start; class names by role. Routers are
 * linear layers to transformers, and choosing experts by rounded logits costs more than they weigh: they are selected only
 * where a name or pattern in `targets` says so.
 *
 * @throws InvalidConfigError for a pattern that is none; so does what it returns, for one that takes too long
 */
export function createModuleSelector({ targets = ['Linear'], ignore = [] }: ModuleSelection): SelectsModule {
  const wanted = targets.map((target) => matcherOf('targets', target))
  const left = ignore.map((target) => matcherOf('ignore', target))
  return (module) => wanted.some((matches) => matches(module)) && !left.some((matches) => matches(module))
}

const classes: Readonly<Record<string, readonly LinearRole[]>> = {
  Linear: ['linear', 'expert', 'head'],
  Embedding: ['embedding'],
}

function matcherOf(option: string, target: string): SelectsModule {
  if (target.startsWith('re:')) {
    const isFound = createModulePattern(target.slice('re:'.length), {
      budget: createPatternBudget(),
      refuse(reason) {
        throw new InvalidConfigError(option, reason)
      },
    })
    return ({ name }) => isFound(name)
  }
  const roles = Object.hasOwn(classes, target) ? classes[target] : undefined
  if (roles !== undefined) return ({ role }) => roles.includes(role)
  return ({ name }) => name === target
}
