import type { WorkBudget } from '../work-budget.ts'
import { intersectionOf, utf8Sequences, type CodePoints } from './code-points.ts'
import { createDfa, edgesByTarget, minimizeDfa, type Dfa } from './dfa.ts'

/** How characters are spelled: sequences of byte ranges for a set of them. */
export type Spelling = (set: CodePoints) => readonly CodePoints[]

/** Characters as themselves. NUL, which ends strings in the library, is never written. */
export const spellPlain: Spelling = (set) => utf8Sequences(intersectionOf(set, [[1, 0x10ffff]]))

/** Characters inside a JSON string, each in one way only: as `JSON.stringify` writes them. */
export const spellInJson: Spelling = (set) => {
  const literal = intersectionOf(set, [
    [0x20, 0x21],
    [0x23, 0x5b],
    [0x5d, 0x10ffff],
  ])
  const escaped: CodePoints[] = []
  for (let code = 0; code <= 0x5c; code++) {
    if ((code >= 0x20 && code !== 0x22 && code !== 0x5c) || !set.some(([first, last]) => first <= code && code <= last))
      continue
    const text = JSON.stringify(String.fromCharCode(code)).slice(1, -1)
    escaped.push(Array.from(text, (character) => [character.charCodeAt(0), character.charCodeAt(0)]))
  }
  return [...utf8Sequences(literal), ...escaped]
}

export interface ByteDfaOptions {
  readonly spell: Spelling
  /** ASCII behind each text, as a closing quote. */
  readonly tail: string
  readonly budget: WorkBudget
}

/** Between two characters, or inside one: what may still come, and where it leads. */
type ByteState = number | readonly { readonly rest: CodePoints; readonly to: number }[]

const done = -1

/** The automaton over bytes of an automaton over characters. */
export function toByteDfa(dfa: Dfa, { spell, tail, budget }: ByteDfaOptions): Dfa {
  if (dfa.states.length === 0) return dfa
  const ways = dfa.states.map((state) => {
    const spelled = [...edgesByTarget(state)].flatMap(([to, set]) => spell(set).map((rest) => ({ rest, to })))
    if (state.isAccepting && tail !== '') {
      spelled.push({
        rest: Array.from(tail, (character) => [character.charCodeAt(0), character.charCodeAt(0)]),
        to: done,
      })
    }
    return spelled
  })
  const bytes = createDfa<ByteState>(
    {
      start: 0,
      key: (state) => (typeof state === 'number' ? String(state) : JSON.stringify(state)),
      isAccepting: (state) =>
        typeof state === 'number' && (state === done || (tail === '' && dfa.states[state]!.isAccepting)),
      next: (state) => (state === done ? [] : step(typeof state === 'number' ? ways[state]! : state)),
    },
    budget,
  )
  return minimizeDfa(bytes, budget)
}

function step(
  ways: readonly { readonly rest: CodePoints; readonly to: number }[],
): { first: number; last: number; to: ByteState }[] {
  const cuts = [...new Set(ways.flatMap(({ rest }) => [rest[0]![0], rest[0]![1] + 1]))].sort((a, b) => a - b)
  return cuts.slice(0, -1).flatMap((first, index) => {
    const taken = ways.filter(({ rest }) => rest[0]![0] <= first && first <= rest[0]![1])
    if (taken.length === 0) return []
    // No character's bytes begin another's, so where one ends, no other goes on.
    const ended = taken.find(({ rest }) => rest.length === 1)
    const to = ended === undefined ? taken.map(({ rest, to }) => ({ rest: rest.slice(1), to })) : ended.to
    return [{ first, last: cuts[index + 1]! - 1, to }]
  })
}
