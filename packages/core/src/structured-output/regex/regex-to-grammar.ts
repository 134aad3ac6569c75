import { InvalidRequestError } from '../../errors.ts'
import { spellPlain } from '../ebnf/character-rules.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { GrammarWriter } from '../ebnf/grammar-writer.ts'
import { WorkBudget } from '../work-budget.ts'
import type { RegexNode } from './regex-node.ts'
import { parseRegex, RegexError } from './regex-parser.ts'
import { regexToDfa } from './regex-to-dfa.ts'

/**
 * EBNF (rule `root`) of the texts that `pattern` matches as a whole.
 * @throws InvalidRequestError that names the construct and its position.
 */
export function regexToGrammar(pattern: string): string {
  try {
    const budget = new WorkBudget('the regular expression')
    const node = parseRegex(pattern)
    const writer = new GrammarWriter()
    // Rules in the pattern's own shape where it has one: an automaton may need exponentially many states.
    const plain = stripEnds(node)
    checkExpansion(plain, 1)
    const root = hasAssertion(plain)
      ? tryWriteDfa(regexToDfa(node, { isWhole: true, budget }), writer, { spell: spellPlain, tail: '""', hint: 're' })
      : tryWriteNode(plain, { writer, budget })
    if (root === null) throw new RegexError('no text matches the pattern')
    return writer.text(root)
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
  if (node.type === 'choice') return { type: 'choice', items: node.items.map(stripEnds) }
  const items = node.type === 'sequence' ? node.items : [node]
  const begin = items.findIndex((item) => item.type !== 'edge' || item.side !== 'start')
  const end = items.findLastIndex((item) => item.type !== 'edge' || item.side !== 'end')
  return { type: 'sequence', items: begin === -1 ? [] : items.slice(begin, end + 1) }
}

function hasAssertion(node: RegexNode): boolean {
  if (node.type === 'edge' || node.type === 'lookahead') return true
  if (node.type === 'repeat') return hasAssertion(node.item)
  return (node.type === 'sequence' || node.type === 'choice') && node.items.some(hasAssertion)
}

/** Counted repetitions multiply when they nest. */
const maxExpansion = 100_000

function checkExpansion(node: RegexNode, factor: number): void {
  if (node.type === 'sequence' || node.type === 'choice') for (const item of node.items) checkExpansion(item, factor)
  if (node.type !== 'repeat') return
  const product = factor * Math.max(1, node.max ?? node.min)
  if (product > maxExpansion) throw new RegexError(`nested repetitions that come to more than ${maxExpansion}`)
  checkExpansion(node.item, product)
}

interface NodeContext {
  readonly writer: GrammarWriter
  readonly budget: WorkBudget
}

/** EBNF of a node without assertions: one element, or alternatives in parentheses; null where it matches nothing. */
function tryWriteNode(node: RegexNode, context: NodeContext): string | null {
  context.budget.spend(10)
  switch (node.type) {
    case 'set': {
      const texts = spellPlain(node.set, context.writer)
      return texts.length === 0 ? null : texts.length === 1 ? texts[0]! : `(${texts.join(' | ')})`
    }
    case 'sequence': {
      const items = node.items.map((item) => tryWriteNode(item, context))
      if (items.includes(null)) return null
      return items.length === 0 ? '""' : items.length === 1 ? items[0]! : `(${items.join(' ')})`
    }
    case 'choice': {
      const items = node.items.map((item) => tryWriteNode(item, context)).filter((item) => item !== null)
      return items.length === 0 ? null : `(${items.join(' | ')})`
    }
    case 'repeat': {
      const item = tryWriteNode(node.item, context)
      if (item === null) return node.min === 0 ? '""' : null
      return writeRepeat(item, node, context)
    }
    default:
      throw new RegexError('this assertion is not supported,', node.position)
  }
}

function writeRepeat(
  item: string,
  range: { readonly min: number; readonly max: number | null },
  { writer, budget }: NodeContext,
): string {
  const { min, max } = range
  if (max === 0) return '""'
  if (max === null && min === 0) return `(${item})*`
  if (max === null && min === 1) return `(${item})+`
  if (min === 0 && max === 1) return `(${item})?`
  budget.spend(max ?? min)
  return `${writer.rule('re', item)}{${min},${max ?? ''}}`
}
