import type { GrammarWriter } from '../ebnf/grammar-writer.ts'
import type { WorkBudget } from '../work-budget.ts'

/** Things in a fixed order with commas between, some of which may be left out. */
export interface MemberList {
  readonly members: readonly { readonly text: string; readonly isRequired: boolean }[]
  /** What may follow them, any number of times; null for nothing. */
  readonly extra: string | null
  readonly min: number
  readonly max: number | null
  readonly comma: string
}

interface ListContext {
  readonly writer: GrammarWriter
  readonly budget: WorkBudget
}

/** EBNF of such a list with at least one thing in it; null where there is none. */
export function tryWriteMembers(list: MemberList, context: ListContext): string | null {
  const { members, extra, min, max } = list
  const numRequired = members.filter((member) => member.isRequired).length
  const most = max ?? Infinity
  if (numRequired > most || most < 1) return null
  const isCounted = min > Math.max(1, numRequired) || (max !== null && (extra !== null || max < members.length))
  return isCounted ? new CountedMembers(list, context).tryWrite() : tryWriteUncounted(list, context)
}

function tryWriteUncounted({ members, extra, comma }: MemberList, { writer }: ListContext): string | null {
  const behind = (from: number): string[] => [
    ...members.slice(from).map(({ text, isRequired }) => (isRequired ? `${comma} ${text}` : `(${comma} ${text})?`)),
    ...(extra === null ? [] : [`(${comma} ${extra})*`]),
  ]
  const firstRequired = members.findIndex((member) => member.isRequired)
  if (firstRequired !== -1) {
    const before = members.slice(0, firstRequired).map(({ text }) => `(${text} ${comma})?`)
    return [...before, members[firstRequired]!.text, ...behind(firstRequired + 1)].join(' ')
  }
  // Whichever comes first has no comma before it; what may follow it is shared.
  let tail = extra === null ? '' : writer.rule('more', `(${comma} ${extra})*`)
  const ways = extra === null ? [] : [`${extra} ${tail}`]
  for (const { text } of members.toReversed()) {
    ways.unshift(`${text} ${tail}`)
    tail = writer.rule('more', `(${comma} ${text})? ${tail}`)
  }
  return ways.length === 0 ? null : `(${ways.join(' | ')})`
}

/** Where the number of things is bounded: a rule for each place and number so far. */
class CountedMembers {
  private readonly list: MemberList
  private readonly context: ListContext
  private readonly rules = new Map<string, string | null>()

  constructor(list: MemberList, context: ListContext) {
    this.list = list
    this.context = context
  }

  tryWrite(): string | null {
    const { members, extra, min, max } = this.list
    // From behind, so that each finds what it needs and a long list makes no deep recursion.
    for (let index = members.length; index > 0; index--) {
      for (let count = 1; count <= Math.min(index, max ?? min); count++) this.tryRest(index, count)
    }
    const ways: string[] = []
    for (const [index, { text, isRequired }] of members.entries()) {
      const rest = this.tryRest(index + 1, 1)
      if (rest !== null) ways.push(`${text} ${rest}`)
      if (isRequired) return union(ways)
    }
    // Several extra ones may be of the same name, so only one of them surely counts.
    if (extra !== null && min <= 1) ways.push(`${extra} ${this.extras(0, max === null ? null : max - 1)}`)
    return union(ways)
  }

  private tryRest(index: number, count: number): string | null {
    const { min, max } = this.list
    const counted = Math.min(count, max ?? min)
    const key = `${index},${counted}`
    const known = this.rules.get(key)
    if (known !== undefined) return known
    this.context.budget.spend(5)
    const body = this.tryRestBody(index, counted)
    const rule = body === null ? null : this.context.writer.rule('more', body)
    this.rules.set(key, rule)
    return rule
  }

  private tryRestBody(index: number, count: number): string | null {
    const { members, extra, min, max, comma } = this.list
    if (index === members.length) {
      const missing = Math.max(0, min - count)
      if (extra === null) return missing === 0 ? '""' : null
      if (missing > 1 || (max !== null && max - count < missing)) return null
      return this.extras(missing, max === null ? null : max - count)
    }
    const { text, isRequired } = members[index]!
    const ways: string[] = []
    const written = max !== null && count >= max ? null : this.tryRest(index + 1, count + 1)
    if (written !== null) ways.push(`${comma} ${text} ${written}`)
    const left = isRequired ? null : this.tryRest(index + 1, count)
    if (left !== null) ways.push(left)
    return union(ways)
  }

  private extras(min: number, max: number | null): string {
    const { extra, comma } = this.list
    if (max === 0) return '""'
    return `${this.context.writer.rule('more', `${comma} ${extra}`)}{${min},${max ?? ''}}`
  }
}

function union(ways: readonly string[]): string | null {
  return ways.length === 0 ? null : `(${ways.join(' | ')})`
}
