import { allCodePoints, intersectionOf } from '../automaton/code-points.ts'
import {
  anyText,
  createDfa,
  emptyLanguage,
  intersectDfas,
  minimizeDfa,
  subtractDfa,
  uniteDfas,
  type Dfa,
} from '../automaton/dfa.ts'
import type { WorkBudget } from '../work-budget.ts'
import type { RegexNode } from './regex-node.ts'
import { RegexError } from './regex-parser.ts'

export interface RegexDfaOptions {
  /** The text as a whole, as Python's `fullmatch`; otherwise anywhere in it, as JSON Schema's `pattern`. */
  readonly isWhole: boolean
  readonly budget: WorkBudget
}

/** The automaton of the texts that a regular expression matches. Throws RegexError where it has what no automaton can tell. */
export function regexToDfa(node: RegexNode, options: RegexDfaOptions): Dfa {
  const alternatives = node.type === 'choice' ? node.items : [node]
  const plain = alternatives.filter((item) => !hasLookahead(item))
  const united = plain.length === 0 ? emptyLanguage : nfaToDfa({ type: 'choice', items: plain }, options)
  const result = alternatives
    .filter((item) => hasLookahead(item))
    .reduce((dfa, item) => uniteDfas(dfa, guardedToDfa(item, options), options.budget), united)
  return minimizeDfa(result, options.budget)
}

function hasLookahead(node: RegexNode): boolean {
  if (node.type === 'lookahead') return true
  if (node.type === 'repeat') return hasLookahead(node.item)
  return (node.type === 'sequence' || node.type === 'choice') && node.items.some(hasLookahead)
}

/** `^(?!a)(?=b)rest`: assertions at the very start only restrict the text as a whole. */
function guardedToDfa(node: RegexNode, options: RegexDfaOptions): Dfa {
  const items = node.type === 'sequence' ? node.items : [node]
  const isAnchored = items[0]!.type === 'edge' && items[0]!.side === 'start'
  const behind = isAnchored ? items.slice(1) : items
  const numGuards = isAnchored || options.isWhole ? behind.findIndex((item) => item.type !== 'lookahead') : 0
  const guards = numGuards === -1 ? behind : behind.slice(0, numGuards)
  const rest = behind.slice(guards.length)
  const misplaced = rest.map(findLookahead).find((found) => found !== null)
  if (misplaced !== undefined) {
    throw new RegexError('a lookahead is supported only at the start, behind ^,', misplaced)
  }
  const start: RegexNode[] = isAnchored ? [items[0]!] : []
  let dfa = nfaToDfa({ type: 'sequence', items: [...start, ...rest] }, options)
  for (const guard of guards) {
    if (guard.type !== 'lookahead') continue
    if (hasLookahead(guard.item))
      throw new RegexError('a lookahead inside a lookahead is not supported,', guard.position)
    const anchor: RegexNode = { type: 'edge', side: 'start', position: guard.position }
    const ahead = nfaToDfa({ type: 'sequence', items: [anchor, guard.item] }, { ...options, isWhole: false })
    dfa = (guard.isNegative ? subtractDfa : intersectDfas)(dfa, ahead, options.budget)
  }
  return dfa
}

function findLookahead(node: RegexNode): number | null {
  if (node.type === 'lookahead') return node.position
  if (node.type === 'repeat') return findLookahead(node.item)
  if (node.type !== 'sequence' && node.type !== 'choice') return null
  for (const item of node.items) {
    const position = findLookahead(item)
    if (position !== null) return position
  }
  return null
}

interface NfaState {
  /** Where one gets without a character: always, or only at the start or end of the text. */
  readonly jumps: { readonly to: number; readonly only: 'start' | 'end' | null }[]
  readonly edges: { readonly first: number; readonly last: number; readonly to: number }[]
}

/** Thompson's construction, then the subset construction. */
function nfaToDfa(node: RegexNode, options: RegexDfaOptions): Dfa {
  const { budget, isWhole } = options
  if (!isWhole && node.type === 'sequence' && node.items.length === 0) return anyText
  const nfa = new NfaBuilder(budget)
  const start = nfa.addState()
  const everything: RegexNode = { type: 'repeat', item: { type: 'set', set: allCodePoints }, min: 0, max: null }
  const end = nfa.add(isWhole ? node : { type: 'sequence', items: [everything, node, everything] }, start)
  return createDfa<readonly number[]>(
    {
      start: [start],
      key: (subset) => subset.join(','),
      isAccepting: (subset) => nfa.closure(subset, { isStart: subset[0] === start, isEnd: true }).includes(end),
      next: (subset) => nfa.step(nfa.closure(subset, { isStart: subset[0] === start, isEnd: false })),
    },
    budget,
  )
}

class NfaBuilder {
  private readonly states: NfaState[] = []
  private readonly budget: WorkBudget

  constructor(budget: WorkBudget) {
    this.budget = budget
  }

  addState(): number {
    this.budget.spend(1)
    this.states.push({ jumps: [], edges: [] })
    return this.states.length - 1
  }

  private jump(from: number, to: number, only: 'start' | 'end' | null = null): void {
    this.states[from]!.jumps.push({ to, only })
  }

  /** Adds what leads from `from` over the node; returns where it ends. */
  add(node: RegexNode, from: number): number {
    switch (node.type) {
      case 'sequence':
        return node.items.reduce((at, item) => this.add(item, at), from)
      case 'choice': {
        const end = this.addState()
        for (const item of node.items) {
          const begin = this.addState()
          this.jump(from, begin)
          this.jump(this.add(item, begin), end)
        }
        return end
      }
      case 'repeat':
        return this.addRepeat(node, from)
      case 'edge': {
        const end = this.addState()
        this.jump(from, end, node.side)
        return end
      }
      case 'lookahead':
        throw new RegexError('a lookahead is supported only at the start, behind ^,', node.position)
      default: {
        const end = this.addState()
        for (const [first, last] of intersectionOf(node.set, allCodePoints)) {
          this.states[from]!.edges.push({ first, last, to: end })
        }
        return end
      }
    }
  }

  private addRepeat(
    node: { readonly item: RegexNode; readonly min: number; readonly max: number | null },
    from: number,
  ): number {
    let at = from
    for (let count = 0; count < node.min; count++) at = this.add(node.item, at)
    const end = this.addState()
    if (node.max === null) {
      const loop = this.addState()
      this.jump(at, loop)
      this.jump(this.add(node.item, loop), loop)
      this.jump(loop, end)
      return end
    }
    for (let count = node.min; count < node.max; count++) {
      this.jump(at, end)
      // A state of its own, so that leaving here is not entered from inside the item.
      const begin = this.addState()
      this.jump(at, begin)
      at = this.add(node.item, begin)
    }
    this.jump(at, end)
    return end
  }

  closure(subset: readonly number[], at: { readonly isStart: boolean; readonly isEnd: boolean }): readonly number[] {
    const seen = new Set(subset)
    for (const id of seen) {
      for (const { to, only } of this.states[id]!.jumps) {
        if (only === null || (only === 'start' ? at.isStart : at.isEnd)) seen.add(to)
      }
    }
    this.budget.spend(seen.size)
    return [...seen]
  }

  step(closed: readonly number[]): { first: number; last: number; to: readonly number[] }[] {
    const edges = closed.flatMap((id) => this.states[id]!.edges)
    const cuts = [...new Set(edges.flatMap((edge) => [edge.first, edge.last + 1]))].sort((a, b) => a - b)
    const indexOf = new Map(cuts.map((cut, index) => [cut, index]))
    const targets = cuts.map(() => new Set<number>())
    for (const { first, last, to } of edges) {
      const begin = indexOf.get(first)!
      const end = indexOf.get(last + 1)!
      this.budget.spend(1 + ((end - begin) >> 3))
      for (let index = begin; index < end; index++) targets[index]!.add(to)
    }
    return targets.flatMap((set, index) =>
      set.size === 0 ? [] : [{ first: cuts[index]!, last: cuts[index + 1]! - 1, to: [...set].sort((a, b) => a - b) }],
    )
  }
}
