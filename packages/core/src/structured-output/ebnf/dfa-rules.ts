import { edgesByTarget, type Dfa } from '../automaton/dfa.ts'
import type { Spelling } from './character-rules.ts'
import type { GrammarWriter } from './grammar-writer.ts'

export interface DfaRulesOptions {
  readonly spell: Spelling
  /** EBNF that follows each text, as the closing quote; `""` for nothing. */
  readonly tail: string
  /** The beginning of rule names. */
  readonly hint: string
}

/** States that are entered once are written where they are entered, this deep at most. */
const maxInlineDepth = 12

/** Adds the texts of an automaton, each followed by the tail: right-linear rules. Returns EBNF, or null where no text can be written. */
export function tryWriteDfa(dfa: Dfa, writer: GrammarWriter, options: DfaRulesOptions): string | null {
  const entries = countEntries(dfa)
  const spelledTargets = dfa.states.map((state) =>
    [...edgesByTarget(state)].map(([to, set]) => ({ to, texts: options.spell(set, writer) })),
  )
  const isAlive = findAlive(dfa, spelledTargets)
  if (!isAlive[0]) return null
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
    const loop = spelledTargets[id]!.find(({ to }) => to === id)?.texts ?? []
    const ways = spelledTargets[id]!.flatMap(({ to, texts }) => {
      if (to === id || texts.length === 0 || !isAlive[to]) return []
      const isLeaf = spelledTargets[to]!.length === 0
      const isInline = isLeaf || (entries[to] === 1 && to !== 0 && depth < maxInlineDepth)
      return [`${group(texts)} ${isInline ? grouped(bodyOf(to, depth + 1)) : nameOf(to)}`]
    })
    if (dfa.states[id]!.isAccepting) ways.push(options.tail)
    const body = ways.join(' | ')
    return loop.length === 0 ? body : `${group(loop)}* ${group(ways)}`
  }
  const root = nameOf(0)
  for (const id of pending) writer.define(names.get(id)!, bodyOf(id, 0))
  return root
}

/** How often a state is entered from another. */
function countEntries(dfa: Dfa): number[] {
  const entries = dfa.states.map(() => 0)
  dfa.states.forEach((state, id) => {
    for (const to of edgesByTarget(state).keys()) if (to !== id) entries[to]!++
  })
  return entries
}

/** Characters that cannot be spelled may cut off states. */
function findAlive(dfa: Dfa, targets: readonly (readonly { to: number; texts: readonly string[] }[])[]): boolean[] {
  const isAlive = dfa.states.map((state) => state.isAccepting)
  for (let hasChanged = true; hasChanged;) {
    hasChanged = false
    for (let id = isAlive.length - 1; id >= 0; id--) {
      if (isAlive[id] || !targets[id]!.some(({ to, texts }) => texts.length > 0 && isAlive[to])) continue
      isAlive[id] = true
      hasChanged = true
    }
  }
  return isAlive
}

function group(alternatives: readonly string[]): string {
  return alternatives.length === 1 && !alternatives[0]!.includes(' ')
    ? alternatives[0]!
    : `(${alternatives.join(' | ')})`
}

function grouped(body: string): string {
  return body.includes(' | ') ? `(${body})` : body
}
