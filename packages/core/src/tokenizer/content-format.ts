import type { Argument, Expression, Statement, Target, Template } from './jinja/ast.ts'
import { walk } from './jinja/walk.ts'

/** What a template expects of messages, as its syntax tree shows. */
export interface ContentFormat {
  /** It goes through a message's content part by part. */
  readonly takesParts: boolean
  /** It asks whether content is a string. Where it takes parts and does not ask, all content must be parts. */
  readonly takesText: boolean
  /** All texts that the template compares and writes, among them the roles it knows. */
  readonly words: ReadonlySet<string>
}

/** What an expression stands for: the list of messages, one of them, or the content of one. */
type Kind = 'messages' | 'message' | 'content'

const listFilters: ReadonlySet<string> = new Set(['list', 'reverse', 'select', 'reject', 'selectattr', 'rejectattr'])
/** A set, a loop and a macro may hand a value on; deeper chains do not occur. */
const maxPasses = 8

export function detectContentFormat(template: Template): ContentFormat {
  const flow = new Flow()
  const nodes: (Expression | Statement)[] = []
  walk(template, (node) => nodes.push(node))
  for (const node of nodes) if (node.type === 'macro') flow.addMacro(node.macro)
  for (let pass = 0; pass < maxPasses; pass++) {
    const { numFacts } = flow
    for (const node of nodes) flow.visit(node)
    if (flow.numFacts === numFacts) break
  }
  const words = new Set<string>()
  for (const node of nodes) if (node.type === 'constant' && typeof node.value === 'string') words.add(node.value)
  return {
    takesParts: nodes.some((node) => flow.goesThroughContent(node)),
    takesText: nodes.some(
      (node) => node.type === 'test' && node.name === 'string' && flow.kindsOf(node.target).has('content'),
    ),
    words,
  }
}

/** Which names may stand for messages and their content, anywhere in the template. */
class Flow {
  readonly #kinds = new Map<string, Set<Kind>>([['messages', new Set(['messages'])]])
  readonly #params = new Map<string, readonly string[]>()
  numFacts = 0

  addMacro({ name, params }: Extract<Statement, { type: 'macro' }>['macro']): void {
    this.#params.set(
      name,
      params.map((param) => param.name),
    )
  }

  visit(node: Expression | Statement): void {
    switch (node.type) {
      case 'set':
        return this.#bind(node.target, this.kindsOf(node.value))
      case 'with':
        for (const [target, value] of node.bindings) this.#bind(target, this.kindsOf(value))
        return
      case 'for':
        if (this.kindsOf(node.iterable).has('messages')) this.#bind(node.target, new Set(['message']))
        return
      case 'call':
        if (node.callee.type === 'name') this.#bindArguments(node.callee.name, node.args)
    }
  }

  /** Vision templates loop; a few take the texts out of parts by a filter. */
  goesThroughContent(node: Expression | Statement): boolean {
    if (node.type === 'for') return this.kindsOf(node.iterable).has('content')
    const isFilter = node.type === 'filter' && (node.name === 'map' || node.name === 'selectattr')
    return isFilter && node.target !== null && this.kindsOf(node.target).has('content')
  }

  kindsOf(node: Expression): ReadonlySet<Kind> {
    switch (node.type) {
      case 'name':
        return this.#kinds.get(node.name) ?? none
      case 'attribute':
        if (node.name === 'content' && this.kindsOf(node.object).has('message')) return content
        return (node.object.type === 'name' && this.#kinds.get(`${node.object.name}.${node.name}`)) || none
      case 'item':
        return this.#item(node)
      case 'call':
        return this.#call(node)
      case 'filter':
        return this.#filter(node)
      case 'condition':
        return union(this.kindsOf(node.value), node.otherwise === null ? none : this.kindsOf(node.otherwise))
      case 'and':
      case 'or':
        return union(this.kindsOf(node.left), this.kindsOf(node.right))
      case 'binary':
        return node.operator === '+' && [node.left, node.right].some((side) => this.kindsOf(side).has('messages'))
          ? messages
          : none
      case 'list':
        return node.items.some((item) => this.kindsOf(item).has('message')) ? messages : none
      default:
        return none
    }
  }

  #item({ object, key }: Extract<Expression, { type: 'item' }>): ReadonlySet<Kind> {
    const kinds = this.kindsOf(object)
    if (key.type === 'slice') return kinds
    if (kinds.has('message')) return key.type === 'constant' && key.value === 'content' ? content : none
    return kinds.has('messages') ? message : none
  }

  /** `message.get('content')` */
  #call({ callee, args }: Extract<Expression, { type: 'call' }>): ReadonlySet<Kind> {
    if (callee.type !== 'attribute' || callee.name !== 'get' || !this.kindsOf(callee.object).has('message')) return none
    const [key] = args
    return key?.value.type === 'constant' && key.value.value === 'content' ? content : none
  }

  #filter({ target, name }: Extract<Expression, { type: 'filter' }>): ReadonlySet<Kind> {
    if (target === null) return none
    const kinds = this.kindsOf(target)
    if (listFilters.has(name) || name === 'default' || name === 'd') return kinds
    return (name === 'first' || name === 'last') && kinds.has('messages') ? message : none
  }

  #bindArguments(macro: string, args: readonly Argument[]): void {
    const params = this.#params.get(macro) ?? []
    for (const [index, { kind, name, value }] of args.entries()) {
      const param = kind === 'named' ? name : kind === 'positional' ? params[index] : undefined
      if (param !== undefined && params.includes(param)) this.#bind({ type: 'name', name: param }, this.kindsOf(value))
    }
  }

  #bind(target: Target, kinds: ReadonlySet<Kind>): void {
    if (target.type === 'tuple' || kinds.size === 0) return
    const name = target.type === 'name' ? target.name : `${target.object}.${target.name}`
    const known = this.#kinds.get(name) ?? new Set()
    this.#kinds.set(name, known)
    for (const kind of kinds) {
      if (known.has(kind)) continue
      known.add(kind)
      this.numFacts++
    }
  }
}

const none: ReadonlySet<Kind> = new Set()
const messages: ReadonlySet<Kind> = new Set(['messages'])
const message: ReadonlySet<Kind> = new Set(['message'])
const content: ReadonlySet<Kind> = new Set(['content'])

function union(a: ReadonlySet<Kind>, b: ReadonlySet<Kind>): ReadonlySet<Kind> {
  return new Set([...a, ...b])
}
