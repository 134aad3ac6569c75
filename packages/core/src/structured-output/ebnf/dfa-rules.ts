import { toByteDfa, type Spelling } from '../automaton/byte-dfa.ts'
import { edgesByTarget, type Dfa } from '../automaton/dfa.ts'
import type { WorkBudget } from '../work-budget.ts'
import { byteClass, type GrammarWriter } from './grammar-writer.ts'

export interface DfaRulesOptions {
  readonly spell: Spelling
  /** ASCII that follows each text, as the closing quote. */
  readonly tail: string
  /** The beginning of rule names. */
  readonly hint: string
  readonly budget: WorkBudget
}

/** States that are entered once are written where they are entered, this deep at most. */
const maxInlineDepth = 12

/**
 * Adds the texts of an automaton: right-linear rules over bytes. Returns EBNF, or null where no text can be written.
 *
 * No state has two ways that begin with the same byte. web-xgrammar 0.1.27 joins states of alternatives that begin alike
 * with states of others that end alike, and then takes `"abd" | "zyc" | "abc"` for "zyd" too (cpp/fsm.cc,
 * `MergeEquivalentSuccessors`); without like beginnings it has nothing to join wrongly.
 */
export function tryWriteDfa(dfa: Dfa, writer: GrammarWriter, options: DfaRulesOptions): string | null {
  const { states } = toByteDfa(dfa, options)
  if (states.length === 0) return null
  const ways = states.map((state) => [...edgesByTarget(state)].map(([to, set]) => ({ to, text: byteClass(set) })))
  const entries = states.map(() => 0)
  ways.forEach((targets, id) => targets.forEach(({ to }) => to !== id && entries[to]!++))
  const names = new Map<number, string>()
  const pending: number[] = []
  const nameOf = (id: number): string => {
    const known = names.get(id)
    if (known !== undefined) return known
    const name = writer.reserve(options.hint)
    names.set(id, name)
    pending.push(id)
    return name
  }
  const bodyOf = (id: number, depth: number): string => {
    const loop = ways[id]!.find(({ to }) => to === id)
    const rest = ways[id]!.flatMap(({ to, text }) => {
      if (to === id) return []
      if (ways[to]!.length === 0) return [text]
      const isInline = entries[to] === 1 && to !== 0 && depth < maxInlineDepth
      return [`${text} ${isInline ? grouped(bodyOf(to, depth + 1)) : nameOf(to)}`]
    })
    if (states[id]!.isAccepting) rest.push('""')
    if (loop === undefined) return rest.join(' | ')
    const behind = rest.length === 1 && rest[0] === '""' ? '' : ` ${grouped(rest.join(' | '))}`
    return `${loop.text}*${behind}`
  }
  const root = nameOf(0)
  for (const id of pending) writer.define(names.get(id)!, bodyOf(id, 0))
  return root
}

function grouped(body: string): string {
  return body.includes(' | ') ? `(${body})` : body
}
