import { InvalidRequestError } from '../../errors.ts'
import { spellPlain } from '../automaton/byte-dfa.ts'
import { allCodePoints, intersectionOf, type CodePoints } from '../automaton/code-points.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { GrammarWriter } from '../ebnf/grammar-writer.ts'
import { WorkBudget } from '../work-budget.ts'
import type { RegexNode } from './regex-node.ts'
import { parseRegex, RegexError } from './regex-parser.ts'
import { regexToDfa } from './regex-to-dfa.ts'

/** More states than that, and counted repetitions are written as such where the pattern has no alternatives. */
const maxCountedStates = 1000
/** Counted repetitions multiply when they nest. */
const maxExpansion = 20_000

/**
 * EBNF (rule `root`) of the texts that `pattern` matches as a whole.
 * @throws InvalidRequestError that names the construct and its position.
 */
export function regexToGrammar(pattern: string): string {
  try {
    const node = parseRegex(pattern)
    const budget = new WorkBudget('the regular expression')
    const context = { writer: new GrammarWriter(), budget }
    const plain = stripEnds(node)
    const length = longestText(plain)
    if (length > maxExpansion)
      throw new RegexError(`nested repetitions come to ${length} characters, more than ${maxExpansion}`)
    const root =
      isPlain(plain) && length > maxCountedStates
        ? tryWriteNode(plain, context)
        : tryWriteDfa(regexToDfa(node, { isWhole: true, budget }), context.writer, {
            spell: spellPlain,
            tail: '',
            hint: 're',
            budget,
          })
    if (root === null) throw new RegexError('no text matches the pattern')
    return context.writer.text(root)
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    throw new InvalidRequestError(
      [{ field: 'structuredOutput' }, `: the regular expression is not supported: ${error.message}; write it without`],
      'structuredOutput',
      { cause: error },
    )
  }
}

/** `^` and `$` at the ends say what holds anyway. */
function stripEnds(node: RegexNode): RegexNode {
  const items = node.type === 'sequence' ? node.items : [node]
  const begin = items.findIndex((item) => item.type !== 'edge' || item.side !== 'start')
  const end = items.findLastIndex((item) => item.type !== 'edge' || item.side !== 'end')
  return { type: 'sequence', items: begin === -1 ? [] : items.slice(begin, end + 1) }
}

/** Characters, sequences and repetitions: written in their own shape they have no alternatives, which the library needs with unlike beginnings. */
function isPlain(node: RegexNode): boolean {
  if (node.type === 'repeat') return isPlain(node.item)
  return node.type === 'set' || (node.type === 'sequence' && node.items.every(isPlain))
}

/** Characters of the longest text, endless repetitions counted by their minimum. */
function longestText(node: RegexNode): number {
  switch (node.type) {
    case 'set':
      return 1
    case 'sequence':
      return node.items.reduce((total, item) => total + longestText(item), 0)
    case 'choice':
      return Math.max(...node.items.map(longestText))
    case 'repeat':
      return longestText(node.item) * Math.max(1, node.max ?? node.min)
    default:
      return 0
  }
}

interface NodeContext {
  readonly writer: GrammarWriter
  readonly budget: WorkBudget
}

/** EBNF of a plain node; null where it matches nothing. */
function tryWriteNode(node: RegexNode, context: NodeContext): string | null {
  context.budget.spend(10)
  if (node.type === 'set') return tryWriteSet(node.set, context)
  if (node.type === 'repeat') {
    const item = tryWriteNode(node.item, context)
    if (item === null) return node.min === 0 ? '""' : null
    return writeRepeat(item, node, context.writer)
  }
  const items = node.type === 'sequence' ? node.items.map((item) => tryWriteNode(item, context)) : [null]
  if (items.includes(null)) return null
  return items.length === 0 ? '""' : items.length === 1 ? items[0]! : `(${items.join(' ')})`
}

function tryWriteSet(set: CodePoints, { writer, budget }: NodeContext): string | null {
  const edges = intersectionOf(set, allCodePoints).map(([first, last]) => ({ first, last, to: 1 }))
  if (edges.length === 0) return null
  const dfa = {
    states: [
      { isAccepting: false, edges },
      { isAccepting: true, edges: [] },
    ],
  }
  return tryWriteDfa(dfa, writer, { spell: spellPlain, tail: '', hint: 'set', budget })
}

function writeRepeat(
  item: string,
  { min, max }: { readonly min: number; readonly max: number | null },
  writer: GrammarWriter,
): string {
  if (max === 0) return '""'
  if (max === null && min === 0) return `(${item})*`
  if (max === null && min === 1) return `(${item})+`
  if (min === 0 && max === 1) return `(${item})?`
  return `${writer.rule('re', item)}{${min},${max ?? ''}}`
}
