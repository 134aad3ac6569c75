import type { CodePoints } from '../automaton/code-points.ts'

/** A parsed regular expression. `position` counts UTF-16 units of the pattern, for messages. */
export type RegexNode =
  | { readonly type: 'set'; readonly set: CodePoints }
  | { readonly type: 'sequence'; readonly items: readonly RegexNode[] }
  | { readonly type: 'choice'; readonly items: readonly RegexNode[] }
  | { readonly type: 'repeat'; readonly item: RegexNode; readonly min: number; readonly max: number | null }
  | { readonly type: 'edge'; readonly side: 'start' | 'end'; readonly position: number }
  | {
      readonly type: 'lookahead'
      readonly isNegative: boolean
      readonly item: RegexNode
      readonly position: number
    }
