import type { Expression, MacroBody, Statement, Target, Template } from './ast.ts'
import { walk } from './walk.ts'

/**
 * Names that are undefined where the statements begin, whatever is outside: Jinja2 takes a name that a block sets, and
 * does not read itself before that, for the block's own from its start. Blocks within then read that.
 */
export type HiddenNames = ReadonlyMap<readonly Statement[], ReadonlySet<string>>

const known = new WeakMap<Template, HiddenNames>()

export function hiddenNames(template: Template): HiddenNames {
  const found = known.get(template) ?? new Analysis().run(template)
  known.set(template, found)
  return found
}

/** What is known of the names of a block with variables of its own. */
class Names {
  readonly #parent: Names | null
  readonly #refs: Set<string>
  readonly #stores: Set<string>
  readonly undefinedAtStart: Set<string>

  constructor(parent: Names | null, from?: Names) {
    this.#parent = parent
    this.#refs = new Set(from === undefined ? [] : from.#refs)
    this.#stores = new Set(from === undefined ? [] : from.#stores)
    this.undefinedAtStart = new Set(from === undefined ? [] : from.undefinedAtStart)
  }

  copy(): Names {
    return new Names(this.#parent, this)
  }

  #has(name: string): boolean {
    return this.#refs.has(name) || (this.#parent !== null && this.#parent.#has(name))
  }

  load(name: string): void {
    if (!this.#has(name)) this.#refs.add(name)
  }

  declare(name: string): void {
    this.#stores.add(name)
    this.#refs.add(name)
  }

  store(name: string): void {
    this.#stores.add(name)
    if (this.#refs.has(name)) return
    if (!this.#has(name)) this.undefinedAtStart.add(name)
    this.#refs.add(name)
  }

  /** Of what only some branches set, the value from before may be left. */
  merge(branches: readonly Names[]): void {
    const before = new Set(this.#stores)
    for (const branch of branches) {
      for (const name of branch.#refs) this.#refs.add(name)
      for (const name of branch.undefinedAtStart) this.undefinedAtStart.add(name)
      for (const name of branch.#stores) this.#stores.add(name)
    }
    for (const name of this.#stores) if (!before.has(name)) this.undefinedAtStart.delete(name)
  }
}

class Analysis {
  readonly #hidden = new Map<readonly Statement[], ReadonlySet<string>>()

  run(template: Template): HiddenNames {
    this.#frame(template, new Names(null))
    return this.#hidden
  }

  /** The statements of a block whose parameters are declared; the blocks within it last, for they see all its names. */
  #frame(body: readonly Statement[], names: Names): void {
    for (const node of body) this.#visit(node, names)
    if (names.undefinedAtStart.size > 0) this.#hidden.set(body, names.undefinedAtStart)
    for (const node of body) this.#descend(node, names)
  }

  /** What a statement does to the names of the block it stands in. */
  #visit(node: Statement, names: Names): void {
    switch (node.type) {
      case 'output':
        return load(node.value, names)
      case 'set':
        load(node.value, names)
        return bind(node.target, names)
      case 'setBlock':
        return bind(node.target, names)
      case 'if':
        return this.#if(node.branches, node.otherwise, names)
      case 'for':
        return load(node.iterable, names)
      case 'macro':
        return names.store(node.macro.name)
      case 'callBlock':
        return load(node.call, names)
      case 'filterBlock':
        return load(node.filter, names)
      case 'with':
        for (const [, value] of node.bindings) load(value, names)
    }
  }

  #if(
    [first, ...others]: Extract<Statement, { type: 'if' }>['branches'],
    otherwise: readonly Statement[],
    names: Names,
  ): void {
    if (first === undefined) return
    load(first.test, names)
    const branches = [names.copy(), names.copy(), names.copy()] as const
    for (const node of first.body) this.#visit(node, branches[0])
    for (const branch of others) this.#if([branch], [], branches[1])
    for (const node of otherwise) this.#visit(node, branches[2])
    names.merge(branches)
  }

  #descend(node: Statement, outer: Names): void {
    switch (node.type) {
      case 'if':
        for (const body of [...node.branches.map((branch) => branch.body), node.otherwise])
          for (const inner of body) this.#descend(inner, outer)
        return
      case 'for': {
        const names = new Names(outer)
        declareTargets(node.target, names)
        this.#frame(node.body, names)
        return this.#frame(node.otherwise, new Names(outer))
      }
      case 'macro':
        return this.#macro(node.macro, outer)
      case 'callBlock':
        return this.#macro(node.caller, outer)
      case 'with': {
        const names = new Names(outer)
        for (const [target] of node.bindings) declareTargets(target, names)
        return this.#frame(node.body, names)
      }
      case 'autoescape': {
        const names = new Names(outer)
        load(node.isOn, names)
        return this.#frame(node.body, names)
      }
      case 'block':
        return this.#frame(node.body, new Names(null))
      case 'setBlock':
      case 'filterBlock':
      case 'scope':
        return this.#frame(node.body, new Names(outer))
    }
  }

  #macro({ params, body }: MacroBody, outer: Names): void {
    const names = new Names(outer)
    for (const { name } of params) names.declare(name)
    for (const { defaultValue } of params) if (defaultValue !== null) load(defaultValue, names)
    this.#frame(body, names)
  }
}

function load(expression: Expression, names: Names): void {
  walk(expression, (node) => {
    if (node.type === 'name') names.load(node.name)
  })
}

function bind(target: Target, names: Names): void {
  if (target.type === 'name') names.store(target.name)
  else if (target.type === 'member') names.load(target.object)
  else for (const item of target.items) bind(item, names)
}

function declareTargets(target: Target, names: Names): void {
  if (target.type === 'name') names.declare(target.name)
  else if (target.type === 'tuple') for (const item of target.items) declareTargets(item, names)
}
