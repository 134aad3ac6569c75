import type { WorkBudget } from '../work-budget.ts'
import { allCodePoints, type CodePoints } from './code-points.ts'

/** A deterministic automaton over characters; from every state an accepting one can be reached, so a language is empty when it has no states. */
export interface Dfa {
  /** The first is where it starts. */
  readonly states: readonly DfaState[]
}

export interface DfaState {
  readonly isAccepting: boolean
  /** Sorted, disjoint. */
  readonly edges: readonly DfaEdge[]
}

export interface DfaEdge {
  readonly first: number
  readonly last: number
  readonly to: number
}

export const emptyLanguage: Dfa = { states: [] }

/** Every text. */
export const anyText: Dfa = {
  states: [{ isAccepting: true, edges: allCodePoints.map(([first, last]) => ({ first, last, to: 0 })) }],
}

/** An automaton by its rule: what follows state `S` under each set of characters. */
export interface DfaPlan<S> {
  readonly start: S
  key(state: S): string
  isAccepting(state: S): boolean
  /** Disjoint sets. */
  next(state: S): readonly { readonly first: number; readonly last: number; readonly to: S }[]
}

/** Explores the states of a plan and drops those that lead nowhere. */
export function createDfa<S>(plan: DfaPlan<S>, budget: WorkBudget): Dfa {
  const ids = new Map<string, number>()
  const pending: S[] = []
  const idOf = (state: S): number => {
    const key = plan.key(state)
    const known = ids.get(key)
    if (known !== undefined) return known
    ids.set(key, pending.length)
    pending.push(state)
    return pending.length - 1
  }
  idOf(plan.start)
  const states: DfaState[] = []
  for (let id = 0; id < pending.length; id++) {
    const state = pending[id]!
    const next = plan.next(state)
    budget.spend(1 + next.length)
    const edges = next.map(({ first, last, to }) => ({ first, last, to: idOf(to) }))
    states.push({ isAccepting: plan.isAccepting(state), edges: mergeEdges(edges) })
  }
  return trim(states)
}

function mergeEdges(edges: readonly DfaEdge[]): DfaEdge[] {
  const merged: DfaEdge[] = []
  for (const edge of [...edges].sort((a, b) => a.first - b.first)) {
    const previous = merged.at(-1)
    if (previous !== undefined && previous.to === edge.to && previous.last + 1 === edge.first) {
      merged[merged.length - 1] = { ...previous, last: edge.last }
    } else merged.push(edge)
  }
  return merged
}

function trim(states: readonly DfaState[]): Dfa {
  const sources = states.map((): number[] => [])
  states.forEach((state, id) => state.edges.forEach((edge) => sources[edge.to]!.push(id)))
  const isAlive = states.map((state) => state.isAccepting)
  const pending = isAlive.flatMap((alive, id) => (alive ? [id] : []))
  while (pending.length > 0) {
    for (const source of sources[pending.pop()!]!) {
      if (isAlive[source]) continue
      isAlive[source] = true
      pending.push(source)
    }
  }
  if (!isAlive[0]) return emptyLanguage
  const ids: number[] = []
  let numAlive = 0
  isAlive.forEach((alive, id) => {
    ids[id] = alive ? numAlive++ : -1
  })
  return {
    states: states.flatMap((state, id) =>
      isAlive[id]
        ? [
            {
              isAccepting: state.isAccepting,
              edges: state.edges.flatMap((edge) => (isAlive[edge.to] ? [{ ...edge, to: ids[edge.to]! }] : [])),
            },
          ]
        : [],
    ),
  }
}

/** Texts that `accept(in a, in b)` says. */
export function combineDfas(
  a: Dfa,
  b: Dfa,
  options: { readonly accept: (inA: boolean, inB: boolean) => boolean; readonly budget: WorkBudget },
): Dfa {
  const { accept, budget } = options
  const canAccept = (x: number, y: number): boolean =>
    (x !== -1 && accept(true, false)) ||
    (y !== -1 && accept(false, true)) ||
    (x !== -1 && y !== -1 && accept(true, true))
  return createDfa<readonly [number, number]>(
    {
      start: [a.states.length === 0 ? -1 : 0, b.states.length === 0 ? -1 : 0],
      key: ([x, y]) => `${x},${y}`,
      isAccepting: ([x, y]) => accept(a.states[x]?.isAccepting ?? false, b.states[y]?.isAccepting ?? false),
      next: ([x, y]) =>
        overlay(a.states[x]?.edges ?? [], b.states[y]?.edges ?? []).filter(({ to }) => canAccept(to[0], to[1])),
    },
    budget,
  )
}

/** The pieces on which both lists of edges are constant. */
function overlay(
  a: readonly DfaEdge[],
  b: readonly DfaEdge[],
): { first: number; last: number; to: readonly [number, number] }[] {
  const cuts = [...new Set([...a, ...b].flatMap((edge) => [edge.first, edge.last + 1]))].sort((x, y) => x - y)
  const pieces: { first: number; last: number; to: readonly [number, number] }[] = []
  let i = 0
  let j = 0
  for (let cut = 0; cut + 1 < cuts.length; cut++) {
    const first = cuts[cut]!
    while (i < a.length && a[i]!.last < first) i++
    while (j < b.length && b[j]!.last < first) j++
    const inA = i < a.length && a[i]!.first <= first
    const inB = j < b.length && b[j]!.first <= first
    if (inA || inB) pieces.push({ first, last: cuts[cut + 1]! - 1, to: [inA ? a[i]!.to : -1, inB ? b[j]!.to : -1] })
  }
  return pieces
}

export function intersectDfas(a: Dfa, b: Dfa, budget: WorkBudget): Dfa {
  if (a === anyText) return b
  if (b === anyText) return a
  return combineDfas(a, b, { accept: (inA, inB) => inA && inB, budget })
}

export function subtractDfa(a: Dfa, b: Dfa, budget: WorkBudget): Dfa {
  return combineDfas(a, b, { accept: (inA, inB) => inA && !inB, budget })
}

export function uniteDfas(a: Dfa, b: Dfa, budget: WorkBudget): Dfa {
  return combineDfas(a, b, { accept: (inA, inB) => inA || inB, budget })
}

/** Texts of `min` to `max` characters. */
export function lengthDfa(min: number, max: number | null, budget: WorkBudget): Dfa {
  return createDfa<number>(
    {
      start: 0,
      key: String,
      isAccepting: (length) => length >= min,
      next: (length) =>
        max !== null && length === max
          ? []
          : allCodePoints.map(([first, last]) => ({
              first,
              last,
              to: max === null ? Math.min(length + 1, min) : length + 1,
            })),
    },
    budget,
  )
}

/** These texts, and with `withLonger` all that begin with one of those in it. */
export function textsDfa(texts: readonly string[], budget: WorkBudget, withLonger: readonly string[] = []): Dfa {
  const exact = new Set(texts)
  const open = new Set(withLonger)
  const children = new Map<string, Map<number, string>>([['', new Map()]])
  for (const text of [...texts, ...withLonger]) {
    let prefix = ''
    for (const character of text) {
      const next = prefix + character
      children.get(prefix)!.set(character.codePointAt(0)!, next)
      if (!children.has(next)) children.set(next, new Map())
      prefix = next
    }
  }
  return createDfa<string | null>(
    {
      start: '',
      key: (prefix) => (prefix === null ? 'open' : `=${prefix}`),
      isAccepting: (prefix) => prefix === null || exact.has(prefix) || open.has(prefix),
      next: (prefix) =>
        prefix === null || open.has(prefix)
          ? allCodePoints.map(([first, last]) => ({ first, last, to: null }))
          : [...children.get(prefix)!].map(([codePoint, to]) => ({ first: codePoint, last: codePoint, to })),
    },
    budget,
  )
}

export function dfaAccepts(dfa: Dfa, text: string): boolean {
  let state = dfa.states[0]
  for (const character of text) {
    const codePoint = character.codePointAt(0)!
    const edge = state?.edges.find(({ first, last }) => first <= codePoint && codePoint <= last)
    if (edge === undefined) return false
    state = dfa.states[edge.to]
  }
  return state?.isAccepting ?? false
}

/** Edges of a state by target: the characters that lead there. */
export function edgesByTarget(state: DfaState): Map<number, CodePoints> {
  const targets = new Map<number, [number, number][]>()
  for (const { first, last, to } of state.edges) {
    const set = targets.get(to)
    if (set === undefined) targets.set(to, [[first, last]])
    else set.push([first, last])
  }
  return targets
}

/** Larger automata are left as they are: refining costs the square of the states. */
const maxStatesToMinimize = 600

/** The smallest automaton of the language (Moore's refinement). */
export function minimizeDfa(dfa: Dfa, budget: WorkBudget): Dfa {
  if (dfa.states.length > maxStatesToMinimize) return dfa
  let classes = dfa.states.map((state): number => (state.isAccepting ? 1 : 0))
  for (let numClasses = 0; ;) {
    budget.spend(dfa.states.length)
    const ids = new Map<string, number>()
    classes = dfa.states.map((state, id) => {
      const edges = mergeEdges(state.edges.map((edge) => ({ ...edge, to: classes[edge.to]! })))
      const signature = `${classes[id]};${edges.map((edge) => `${edge.first}-${edge.last}:${edge.to}`).join(',')}`
      if (!ids.has(signature)) ids.set(signature, ids.size)
      return ids.get(signature)!
    })
    if (ids.size === numClasses) break
    numClasses = ids.size
  }
  const states: DfaState[] = []
  dfa.states.forEach((state, id) => {
    states[classes[id]!] ??= {
      isAccepting: state.isAccepting,
      edges: mergeEdges(state.edges.map((edge) => ({ ...edge, to: classes[edge.to]! }))),
    }
  })
  return { states }
}
