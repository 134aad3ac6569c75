import { InvalidRequestError } from '../../errors.ts'
import { spellPlain } from '../automaton/byte-dfa.ts'
import { allCodePoints, intersectionOf, type CodePoints } from '../automaton/code-points.ts'
import { WorkBudget } from '../work-budget.ts'
import { tryWriteDfa } from './dfa-rules.ts'
import { GrammarError, parseGrammar, type GrammarNode } from './grammar-parser.ts'
import { byteClass, GrammarWriter, literal } from './grammar-writer.ts'

const maxRules = 2000
/** Counted repetitions multiply when they nest. */
const maxExpansion = 20_000

/**
 * Checks a user's EBNF (rule `root`) before the library sees it, and returns it in a form that the library takes for
 * what it says: characters beyond ASCII as bytes, alternatives without common beginnings.
 * @throws InvalidRequestError that names the line.
 */
export function checkGrammar(grammar: string): string {
  try {
    const rules = parseGrammar(grammar)
    checkRules(rules)
    return new GrammarPrinter(rules).print()
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error
    throw new InvalidRequestError(
      [{ field: 'structuredOutput' }, `: the grammar cannot be used: ${error.message}`],
      'structuredOutput',
      {
        cause: error,
      },
    )
  }
}

function checkRules(rules: ReadonlyMap<string, GrammarNode>): void {
  if (!rules.has('root')) throw new GrammarError('it has no rule named root, which is the whole output')
  if (rules.size > maxRules) throw new GrammarError(`it has ${rules.size} rules, more than ${maxRules}`)
  for (const [name, node] of rules) {
    checkExpansion(node, 1, name)
    for (const used of namesIn(node)) {
      if (!rules.has(used))
        throw new GrammarError(`the rule ${name.slice(0, 60)} names ${used.slice(0, 60)}, which is not defined`)
    }
  }
  const ending = new Set<string>()
  const budget = new WorkBudget('the grammar')
  let order = [...rules]
  for (let numBefore = -1; ending.size > numBefore; order = order.toReversed()) {
    numBefore = ending.size
    budget.spend(rules.size)
    for (const [name, node] of order) if (canEnd(node, ending)) ending.add(name)
  }
  if (!ending.has('root')) throw new GrammarError('no text of root ever ends')
}

function checkExpansion(node: GrammarNode, factor: number, name: string): void {
  if (node.type === 'sequence' || node.type === 'choice')
    for (const item of node.items) checkExpansion(item, factor, name)
  if (node.type !== 'repeat') return
  const product = factor * Math.max(1, node.max ?? node.min)
  if (product > maxExpansion)
    throw new GrammarError(`nested repetitions in the rule ${name.slice(0, 60)} come to more than ${maxExpansion}`)
  checkExpansion(node.item, product, name)
}

function* namesIn(node: GrammarNode): Generator<string> {
  if (node.type === 'rule') yield node.name
  if (node.type === 'repeat') yield* namesIn(node.item)
  if (node.type === 'sequence' || node.type === 'choice') for (const item of node.items) yield* namesIn(item)
}

function canEnd(node: GrammarNode, ending: ReadonlySet<string>): boolean {
  switch (node.type) {
    case 'rule':
      return ending.has(node.name)
    case 'sequence':
      return node.items.every((item) => canEnd(item, ending))
    case 'choice':
      return node.items.some((item) => canEnd(item, ending))
    case 'repeat':
      return node.min === 0 || canEnd(node.item, ending)
    case 'set':
      return node.set.length > 0
    default:
      return true
  }
}

/** Prints rules so that no two alternatives begin alike (dfa-rules.ts tells why). */
class GrammarPrinter {
  private readonly rules: ReadonlyMap<string, GrammarNode>
  private readonly writer = new GrammarWriter()
  private readonly budget = new WorkBudget('the grammar')
  private readonly names: ReadonlyMap<string, string>

  constructor(rules: ReadonlyMap<string, GrammarNode>) {
    this.rules = rules
    this.names = new Map([...rules.keys()].map((name) => [name, this.writer.reserve('user')]))
  }

  print(): string {
    for (const [name, node] of this.rules)
      this.writer.define(this.names.get(name)!, this.writer.guarded(this.element(node)))
    return this.writer.text(this.names.get('root')!)
  }

  /** One element: alternatives are a rule of their own. */
  private element(node: GrammarNode): string {
    this.budget.spend(1)
    switch (node.type) {
      case 'rule':
        return this.names.get(node.name)!
      case 'set':
        return this.set(node.set)
      case 'repeat':
        return this.repeat(node)
      case 'choice':
        return this.choice(node.items.map((item) => this.symbols(item)))
      default: {
        const symbols = this.symbols(node)
        return symbols.length === 0 ? '""' : symbols.length === 1 ? symbols[0]! : `(${symbols.join(' ')})`
      }
    }
  }

  private symbols(node: GrammarNode): string[] {
    if (node.type === 'sequence') return node.items.flatMap((item) => this.symbols(item))
    if (node.type !== 'text') return [this.element(node)]
    return Array.from(new TextEncoder().encode(node.text), (byte) =>
      byte < 0x80 ? literal(String.fromCharCode(byte)) : byteClass([[byte, byte]]),
    )
  }

  /** Alternatives as sequences of symbols, common beginnings taken out. */
  private choice(alternatives: readonly (readonly string[])[]): string {
    this.budget.spend(alternatives.length)
    const groups = new Map<string, (readonly string[])[]>()
    for (const [first = '""', ...rest] of alternatives) {
      const group = groups.get(first)
      if (group === undefined) groups.set(first, [rest])
      else group.push(rest)
    }
    const ways = [...groups].map(([first, rests]) => {
      const [only] = rests
      if (rests.length === 1) return [first, ...only!].join(' ')
      return first === '""' ? first : `${first} ${this.choice(rests)}`
    })
    return this.writer.guarded(ways.length === 1 ? ways[0]! : `(${ways.join(' | ')})`)
  }

  private set(set: CodePoints): string {
    const edges = intersectionOf(set, allCodePoints).map(([first, last]) => ({ first, last, to: 1 }))
    const states = [
      { isAccepting: false, edges },
      { isAccepting: true, edges: [] },
    ]
    const rule =
      edges.length === 0
        ? null
        : tryWriteDfa({ states }, this.writer, { spell: spellPlain, tail: '', hint: 'set', budget: this.budget })
    if (rule === null) throw new GrammarError('a character class without characters')
    return rule
  }

  private repeat({
    item,
    min,
    max,
  }: {
    readonly item: GrammarNode
    readonly min: number
    readonly max: number | null
  }): string {
    const element = this.element(item)
    if (max === 0) return '""'
    if (max === null && min <= 1) return `(${element})${min === 0 ? '*' : '+'}`
    if (min === 0 && max === 1) return `(${element})?`
    return `${this.writer.rule('item', element)}{${min},${max ?? ''}}`
  }
}
