import { spellPlain } from '../automaton/byte-dfa.ts'
import { textsDfa } from '../automaton/dfa.ts'
import { tryWriteDfa } from '../ebnf/dfa-rules.ts'
import { GrammarWriter, literal } from '../ebnf/grammar-writer.ts'
import type { SchemaNode } from './alternative.ts'
import { tryWriteMembers } from './member-list.ts'
import { schemaError } from './schema-error.ts'
import type { SchemaExpander } from './schema-expander.ts'
import { tryPlan, type ArrayPlan, type ObjectPlan, type ValuePlan } from './value-plan.ts'

const maxNodes = 5_000

interface PlannedNode {
  readonly node: SchemaNode
  readonly rule: string
  readonly plans: readonly ValuePlan[]
}

/** Writes the grammar of a schema: plans all nodes that the root reaches, finds which have values, writes those. */
export class SchemaWriter {
  private readonly expander: SchemaExpander
  private readonly writer = new GrammarWriter()
  private readonly nodes = new Map<string, PlannedNode>()
  private readonly fruitful = new Set<string>()
  private readonly space: string
  private readonly comma: string
  private readonly colon: string

  constructor(expander: SchemaExpander) {
    this.expander = expander
    const isSpaced = expander.options.allowWhitespace
    // A space, or a new line with its indentation: no more, or a model could print whitespace for ever.
    this.space = isSpaced ? ` ${this.writer.rule('space', '" "? | "\\n" [ \\t]{0,20}')}` : ''
    this.comma = isSpaced ? `","${this.space}` : '", "'
    this.colon = isSpaced ? '":" " "?' : '": "'
  }

  write(): string {
    const root = this.expander.node([this.expander.document.root])
    this.planAll(root)
    this.findFruitful()
    const first = this.nodes.get(root.key)!
    if (!this.fruitful.has(root.key))
      throw schemaError(['#', null], 'allows no value at all; its keywords contradict each other')
    for (const planned of this.nodes.values()) {
      if (!this.fruitful.has(planned.node.key)) continue
      this.writer.define(planned.rule, this.valueBody(planned.plans))
    }
    return this.writer.text(first.rule)
  }

  private planAll(root: SchemaNode): void {
    const pending = [root]
    for (const node of pending) {
      if (this.nodes.has(node.key)) continue
      const pointer = node.sites[0]?.pointer ?? '#'
      if (this.nodes.size >= maxNodes)
        throw schemaError([pointer, null], `is one of more than ${maxNodes} combined schemas; make the schema smaller`)
      const context = { expander: this.expander, writer: this.writer, pointer }
      const plans = this.expander.alternatives(node).flatMap((alternative) => tryPlan(alternative, context) ?? [])
      this.nodes.set(node.key, { node, rule: this.writer.reserve('value'), plans })
      pending.push(...plans.flatMap(nodesOf))
    }
  }

  /** Least fixpoint: a node has values when one of its plans needs only nodes that have. */
  private findFruitful(): void {
    for (let hasChanged = true; hasChanged;) {
      hasChanged = false
      for (const { node, plans } of this.nodes.values()) {
        this.expander.budget.spend(1)
        if (this.fruitful.has(node.key) || !plans.some((plan) => this.isFruitful(plan))) continue
        this.fruitful.add(node.key)
        hasChanged = true
      }
    }
  }

  private isFruitful(plan: ValuePlan): boolean {
    if (plan.type === 'text') return true
    if (plan.type === 'object') {
      const { members, extras, min, max } = plan
      const numMembers = members.filter(({ node }) => this.has(node)).length
      const hasExtra = extras.some(({ node }) => this.has(node))
      // Extra ones may be of the same name, so only one of them surely counts.
      return (
        members.every(({ node, isRequired }) => !isRequired || this.has(node)) &&
        Math.min(numMembers + (hasExtra ? 1 : 0), max ?? Infinity) >= min
      )
    }
    if (plan.choices !== null) return Math.min(plan.choices.length, plan.max ?? Infinity) >= plan.min
    if (plan.contains !== null) return this.has(plan.contains)
    return this.numItems(plan) >= plan.min
  }

  /** How many items an array may have at most. */
  private numItems({ prefix, rest, max }: ArrayPlan): number {
    const barren = prefix.findIndex((node) => !this.has(node))
    return Math.min(max ?? Infinity, barren !== -1 ? barren : this.has(rest) ? Infinity : prefix.length)
  }

  private has(node: SchemaNode): boolean {
    return this.fruitful.has(node.key)
  }

  private ruleOf(node: SchemaNode): string {
    return this.nodes.get(node.key)!.rule
  }

  /**
   * Alternatives of a value, each a rule of its own, and all literal ones in one automaton: where alternatives of one
   * rule begin alike, the library takes wrong texts (see dfa-rules.ts).
   */
  private valueBody(plans: readonly ValuePlan[]): string {
    const literals = plans.flatMap((plan) => (plan.type === 'text' && plan.isLiteral ? [plan.text] : []))
    const ways = plans.flatMap((plan) => {
      if (plan.type === 'text') return plan.isLiteral ? [] : [plan.text]
      const text = plan.type === 'object' ? this.tryObject(plan) : this.tryArray(plan)
      return text === null ? [] : [this.writer.rule(plan.type, text)]
    })
    const { budget } = this.expander
    const constants = tryWriteDfa(textsDfa(literals, budget), this.writer, {
      spell: spellPlain,
      tail: '',
      hint: 'const',
      budget,
    })
    const all = [...new Set([...ways, ...(constants === null ? [] : [constants])])]
    return all.length === 1 ? all[0]! : all.map((way) => this.writer.guarded(way)).join(' | ')
  }

  private tryObject({ members, extras, min, max }: ObjectPlan): string | null {
    if (members.some(({ node, isRequired }) => isRequired && !this.has(node))) return null
    // Rules of their own: names that begin alike must not meet in one rule.
    const keyed = (key: string, node: SchemaNode): string =>
      this.writer.rule('member', `${key} ${this.colon} ${this.ruleOf(node)}`)
    const written = members
      .filter(({ node }) => this.has(node))
      .map(({ name, node, isRequired }) => ({ text: keyed(literal(JSON.stringify(name)), node), isRequired }))
    const others = extras.filter(({ node }) => this.has(node)).map(({ key, node }) => keyed(key, node))
    const extra = others.length === 0 ? null : this.writer.rule('extra', others.join(' | '))
    const body = tryWriteMembers({ members: written, extra, min, max, comma: this.comma }, this.context)
    const canBeEmpty = min === 0 && written.every(({ isRequired }) => !isRequired)
    return this.enclose(['{', '}'], body, canBeEmpty)
  }

  private get context() {
    return { writer: this.writer, budget: this.expander.budget }
  }

  /** Between brackets: something, nothing, or either. */
  private enclose([open, close]: readonly [string, string], body: string | null, canBeEmpty: boolean): string | null {
    if (body === null) return canBeEmpty ? `${literal(open)}${this.space} ${literal(close)}` : null
    const content = `${body}${this.space}`
    return `${literal(open)}${this.space} ${canBeEmpty ? `(${content})?` : content} ${literal(close)}`
  }

  private tryArray(plan: ArrayPlan): string | null {
    const { min, contains, choices } = plan
    const { comma } = this
    if (choices !== null) {
      const members = choices.map((text) => ({
        text: this.writer.rule('choice', this.valueBody([{ type: 'text', text, isLiteral: true }])),
        isRequired: false,
      }))
      const body = tryWriteMembers({ members, extra: null, min, max: plan.max, comma }, this.context)
      return this.enclose(['[', ']'], body, min === 0)
    }
    if (contains !== null) {
      if (!this.has(contains)) return null
      const others = this.has(plan.rest) ? this.ruleOf(plan.rest) : this.ruleOf(contains)
      return this.enclose(['[', ']'], `(${others} ${comma})* ${this.ruleOf(contains)} (${comma} ${others})*`, false)
    }
    const most = this.numItems(plan)
    if (most < min) return null
    const max = most === Infinity ? null : most
    const prefix = plan.prefix.slice(0, most)
    return this.enclose(['[', ']'], max === 0 ? null : this.items(prefix, { rest: plan.rest, min, max }), min === 0)
  }

  /** At least one item, then as many more as allowed. */
  private items(
    prefix: readonly SchemaNode[],
    { rest, min, max }: { rest: SchemaNode; min: number; max: number | null },
  ): string {
    const { comma } = this
    const numFixed = Math.max(prefix.length, 1)
    let tail = ''
    if (max === null || max > numFixed) {
      const more = this.writer.rule('more', `${comma} ${this.ruleOf(rest)}`)
      const least = Math.max(0, min - numFixed)
      tail = least === 0 && max === null ? `${more}*` : `${more}{${least},${max === null ? '' : max - numFixed}}`
    }
    for (let index = prefix.length - 1; index >= 1; index--) {
      const item = `${comma} ${this.ruleOf(prefix[index]!)} ${tail}`
      tail = this.writer.rule('more', index < min ? item : `(${item})?`)
    }
    return `${this.ruleOf(prefix[0] ?? rest)} ${tail}`
  }
}

function nodesOf(plan: ValuePlan): SchemaNode[] {
  if (plan.type === 'text') return []
  if (plan.type === 'object') return [...plan.members, ...plan.extras].map(({ node }) => node)
  return [...plan.prefix, plan.rest, ...(plan.contains === null ? [] : [plan.contains])]
}
