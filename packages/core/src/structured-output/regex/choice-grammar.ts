import { spellPlain } from '../automaton/byte-dfa.ts'
import { textsDfa } from '../automaton/dfa.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { GrammarWriter } from '../ebnf/grammar-writer.ts'
import { WorkBudget } from '../work-budget.ts'

/** EBNF (rule `root`) of exactly these texts, which are well-formed and without NUL. */
export function choiceGrammar(texts: readonly string[]): string {
  const budget = new WorkBudget('the list of choices')
  const writer = new GrammarWriter()
  const root = tryWriteDfa(textsDfa(texts, budget), writer, { spell: spellPlain, tail: '', hint: 'choice', budget })
  return writer.text(root ?? '""')
}
