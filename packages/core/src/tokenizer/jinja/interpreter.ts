import type { Expression, FilterExpression, ForStatement, MacroBody, Statement, Target, Template } from './ast.ts'
import { Budget, TextWriter } from './budget.ts'
import { iterate, listOf } from './compare.ts'
import { isConstant } from './constant.ts'
import { Evaluator } from './evaluator.ts'
import { createGlobals } from './globals.ts'
import { JinjaError, RaisedException } from './jinja-error.ts'
import { LoopContext } from './loop-context.ts'
import { toText } from './printing.ts'
import { type Escaping, Scope } from './scope.ts'
import { type HiddenNames, hiddenNames } from './symbols.ts'
import { escapeHtml } from './html.ts'
import {
  Callable,
  type CallArguments,
  Dict,
  isTrue,
  Markup,
  Namespace,
  orUndefined,
  TemplateObject,
  textOf,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'
import { usedNames, walk } from './walk.ts'

/** How a list of statements ended. */
type Outcome = 'end' | 'break' | 'continue'

/** Where statements run: their variables, and where their text goes. */
interface Frame {
  readonly scope: Scope
  readonly out: TextWriter
}

/**
 * A syntax tree and variables → text. Throws JinjaError with the line where Jinja2 would fail or the budget ends,
 * RaisedException where the template itself refuses.
 */
export function renderTemplate(template: Template, variables: ReadonlyMap<string, Value>): string {
  const interpreter = new Interpreter(new Budget())
  try {
    return interpreter.render(template, variables)
  } catch (error) {
    if (error instanceof RaisedException) throw error
    if (error instanceof JinjaError) throw new JinjaError(error.message, error.line ?? interpreter.line)
    if (error instanceof RangeError) throw new JinjaError('it is nested too deep', interpreter.line)
    throw error
  }
}

class Interpreter {
  readonly #budget: Budget
  readonly #evaluator: Evaluator
  #root = new Scope(null)
  #blocks: ReadonlyMap<string, readonly Statement[]> | null = null
  #hidden: HiddenNames = new Map()

  constructor(budget: Budget) {
    this.#budget = budget
    this.#evaluator = new Evaluator(budget)
  }

  get line(): number {
    return this.#evaluator.line
  }

  render(template: Template, variables: ReadonlyMap<string, Value>): string {
    const around = new Scope(new Scope(null, createGlobals(this.#budget)), new Map(variables))
    this.#hidden = hiddenNames(template)
    this.#root = this.#inner(around, template)
    if (usedNames(template, ['self']).size > 0)
      this.#root.set('self', new TemplateReference((name) => this.#block(template, name)))
    return this.#capture(template, this.#root)
  }

  /** The variables of statements that have their own. */
  #inner(outer: Scope, body: readonly Statement[], escaping: Escaping = outer.escaping): Scope {
    const scope = new Scope(outer, new Map(), escaping)
    for (const name of this.#hidden.get(body) ?? []) scope.hide(name)
    return scope
  }

  #capture(body: readonly Statement[], scope: Scope): string {
    const out = new TextWriter(this.#budget)
    this.#run(body, { scope, out })
    return out.text
  }

  #run(body: readonly Statement[], frame: Frame): Outcome {
    for (const statement of body) {
      const outcome = this.#execute(statement, frame)
      if (outcome !== 'end') return outcome
    }
    return 'end'
  }

  #execute(node: Statement, frame: Frame): Outcome {
    const { scope, out } = frame
    this.#budget.step()
    this.#evaluator.line = node.line
    switch (node.type) {
      case 'text':
        out.write(node.text)
        return 'end'
      case 'output':
        out.write(this.#outputText(node.value, scope))
        return 'end'
      case 'set':
        this.#assign(node.target, this.#evaluate(node.value, scope), scope)
        return 'end'
      case 'if':
        return this.#if(node, frame)
      case 'for':
        return this.#for(node, frame)
      case 'break':
      case 'continue':
        return node.type
      case 'macro':
        scope.set(node.macro.name, this.#macro(node.macro, scope))
        return 'end'
      case 'scope':
        return this.#run(node.body, { scope: this.#inner(scope, node.body), out })
      case 'with':
        return this.#with(node, frame)
      case 'block':
        return this.#run(node.body, {
          scope: this.#inner((node.isScoped ? scope : this.#root).exported(), node.body, false),
          out,
        })
      case 'autoescape':
        return this.#autoescape(node, frame)
      case 'unsupported':
        throw new JinjaError(`'${node.tag}' needs other templates, of which a chat template has none`, node.line)
      default:
        out.write(this.#captured(node, scope))
        return 'end'
    }
  }

  /** Statements whose body is text to something else. */
  #captured(node: Extract<Statement, { type: 'setBlock' | 'callBlock' | 'filterBlock' }>, scope: Scope): string {
    if (node.type === 'callBlock') return this.#callBlock(node, scope)
    const isFilter = node.type === 'filterBlock'
    const captured = this.#capture(node.body, this.#inner(scope, node.body))
    const isMarked = isFilter ? this.#escapes(scope) : this.#evaluator.isEscaping
    const text = isMarked ? new Markup(captured) : captured
    const value = node.filter === null ? text : this.#filterText(node.filter, text, scope)
    if (isFilter) {
      const written = textOf(value)
      if (written === null)
        throw new JinjaError(`the filter of a block gives '${typeName(value)}', not a text`, node.line)
      return written
    }
    this.#assign(node.target, value, scope)
    return ''
  }

  #escapes(scope: Scope): boolean {
    return scope.escaping ?? this.#evaluator.isEscaping
  }

  #outputText(node: Expression, scope: Scope): string {
    const value = this.#evaluate(node, scope)
    const text = toText(value, this.#budget)
    if (value instanceof Markup || !this.#escapes(scope)) return text
    // Jinja2 writes constants before it knows what the expression of `autoescape` gives.
    if (scope.escaping === null && isConstant(node, null)) return text
    const escaped = escapeHtml(text)
    this.#budget.text(escaped.length)
    return escaped
  }

  /** What stands in it is escaped by its place; macros called and filters applied there look at the value at work. */
  #autoescape(node: Extract<Statement, { type: 'autoescape' }>, { scope, out }: Frame): Outcome {
    const { isOn } = node
    const before = this.#evaluator.isEscaping
    this.#evaluator.isEscaping = isTrue(this.#evaluate(isOn, scope))
    const escaping = isOn.type === 'constant' ? this.#evaluator.isEscaping : null
    const outcome = this.#run(node.body, { scope: this.#inner(scope, node.body, escaping), out })
    this.#evaluator.isEscaping = before
    return outcome
  }

  /** The filters of a block, the innermost of which gets the block's text. */
  #filterText(filter: FilterExpression, text: Value, scope: Scope): Value {
    const { target } = filter
    const value = target?.type === 'filter' ? this.#filterText(target, text, scope) : text
    return this.#evaluator.filter(filter, value, scope)
  }

  /** `self.name`: what writes the block of that name once more. */
  #block(template: Template, name: string): Callable | undefined {
    this.#blocks ??= namedBlocks(template)
    const body = this.#blocks.get(name)
    if (body === undefined) return undefined
    return new Callable(name, () =>
      this.#budget.call(() => {
        const text = this.#capture(body, this.#inner(this.#root.exported(), body, false))
        return this.#evaluator.isEscaping ? new Markup(text) : text
      }),
    )
  }

  #if(node: Extract<Statement, { type: 'if' }>, frame: Frame): Outcome {
    for (const { test, body } of node.branches) {
      if (isTrue(this.#evaluate(test, frame.scope))) return this.#run(body, frame)
    }
    return this.#run(node.otherwise, frame)
  }

  #with(node: Extract<Statement, { type: 'with' }>, { scope, out }: Frame): Outcome {
    const inner = this.#inner(scope, node.body)
    const values = node.bindings.map(([, value]) => this.#evaluate(value, scope))
    for (const [index, [target]] of node.bindings.entries()) this.#assign(target, values[index]!, inner)
    return this.#run(node.body, { scope: inner, out })
  }

  #for(node: ForStatement, frame: Frame): Outcome {
    const items = this.#evaluate(node.iterable, frame.scope)
    this.#evaluator.line = node.line
    this.#loop(node, { items, depth: 0, frame })
    return 'end'
  }

  #loop(node: ForStatement, { items, depth, frame }: { items: Value; depth: number; frame: Frame }): void {
    const iterable = iterate(items)
    const loop = new LoopContext({
      items: node.test === null ? iterable : this.#filtered(node, iterable, frame.scope),
      depth,
      recurse: node.isRecursive ? (inner, level) => this.#recurse(node, { items: inner, depth: level, frame }) : null,
      budget: this.#budget,
    })
    let isEmpty = true
    for (let item = loop.next(); item !== undefined; item = loop.next()) {
      this.#budget.step()
      const scope = this.#inner(frame.scope, node.body)
      scope.set('loop', loop)
      this.#assign(node.target, item, scope)
      const outcome = this.#run(node.body, { scope, out: frame.out })
      if (outcome === 'break') break
      // Jinja2 takes a loop for empty whose body never came to its end.
      if (outcome === 'end') isEmpty = false
    }
    if (isEmpty) this.#run(node.otherwise, { scope: this.#inner(frame.scope, node.otherwise), out: frame.out })
  }

  #recurse(node: ForStatement, { items, depth, frame }: { items: Value; depth: number; frame: Frame }): Value {
    const out = new TextWriter(this.#budget)
    this.#loop(node, { items, depth, frame: { scope: frame.scope, out } })
    return this.#escapes(frame.scope) ? new Markup(out.text) : out.text
  }

  *#filtered(node: ForStatement, items: Iterable<Value>, scope: Scope): Iterable<Value> {
    for (const item of items) {
      const inner = new Scope(scope)
      this.#assign(node.target, item, inner)
      if (isTrue(this.#evaluate(node.test!, inner))) yield item
    }
  }

  #callBlock(node: Extract<Statement, { type: 'callBlock' }>, scope: Scope): string {
    const { call } = node
    if (call.type !== 'call') throw new JinjaError('expected a call', node.line)
    const caller = this.#macro(node.caller, scope)
    const inner = new Scope(scope)
    const hidden = '\u0000caller'
    inner.set(hidden, caller)
    const argument = { kind: 'named', name: 'caller', value: { type: 'name', name: hidden, line: node.line } } as const
    return toText(this.#evaluate({ ...call, args: [...call.args, argument] }, inner), this.#budget)
  }

  #macro(macro: MacroBody, scope: Scope): Callable {
    const { name, params, uses } = macro
    const attributes = new Map<string, Value>([
      ['name', name],
      ['arguments', new Tuple(params.map((param) => param.name))],
      ['catch_kwargs', uses.has('kwargs')],
      ['catch_varargs', uses.has('varargs')],
      ['caller', uses.has('caller')],
    ])
    const call = (given: CallArguments): Value => this.#budget.call(() => this.#callMacro(macro, given, scope))
    return new Callable(name, call, attributes)
  }

  #callMacro(macro: MacroBody, given: CallArguments, scope: Scope): Value {
    const { line, isEscaping } = this.#evaluator
    const inner = this.#inner(scope, macro.body)
    const kwargs = new Map(given.kwargs)
    this.#bindSpecial(macro, { args: given.args, kwargs }, inner)
    for (const [index, { name, defaultValue }] of macro.params.entries()) {
      const isNamed = kwargs.has(name)
      if (index < given.args.length && isNamed)
        throw new JinjaError(`macro '${macro.name}' got multiple values for argument '${name}'`)
      const value = index < given.args.length ? given.args[index] : kwargs.get(name)
      kwargs.delete(name)
      if (value !== undefined) inner.set(name, value)
      else if (defaultValue !== null) inner.set(name, this.#evaluate(defaultValue, inner))
      else inner.set(name, new Undefined(`parameter '${name}' was not provided`))
    }
    this.#bindRest(macro, { args: given.args.slice(macro.params.length), kwargs }, inner)
    const text = this.#capture(macro.body, inner)
    this.#evaluator.line = line
    return isEscaping ? new Markup(text) : text
  }

  /** `caller`, which is no argument like the others. */
  #bindSpecial(
    { name, uses, params }: MacroBody,
    given: { args: readonly Value[]; kwargs: Map<string, Value> },
    scope: Scope,
  ): void {
    const { kwargs } = given
    if (!uses.has('caller') || params.some((param) => param.name === 'caller')) return
    scope.set('caller', orUndefined(kwargs.get('caller'), `no caller defined for macro '${name}'`))
    kwargs.delete('caller')
  }

  #bindRest(
    { name, uses, params }: MacroBody,
    { args, kwargs }: { args: readonly Value[]; kwargs: ReadonlyMap<string, Value> },
    scope: Scope,
  ): void {
    if (uses.has('varargs')) scope.set('varargs', new Tuple(args))
    else if (args.length > 0) throw new JinjaError(`macro '${name}' takes not more than ${params.length} argument(s)`)
    if (uses.has('kwargs')) {
      const dict = new Dict()
      for (const [key, value] of kwargs) dict.setText(key, value)
      scope.set('kwargs', dict)
    } else if (kwargs.size > 0)
      throw new JinjaError(`macro '${name}' takes no keyword argument '${[...kwargs.keys()][0]}'`)
  }

  #assign(target: Target, value: Value, scope: Scope): void {
    if (target.type === 'name') return scope.set(target.name, value)
    if (target.type === 'member') {
      const object = scope.get(target.object)
      if (!(object instanceof Namespace)) throw new JinjaError('cannot assign attribute on non-namespace object')
      return object.attributes.setText(target.name, value)
    }
    const items = listOf(value, this.#budget)
    if (items.length !== target.items.length)
      throw new JinjaError(`${target.items.length} values are expected to unpack, got ${items.length}`)
    for (const [index, inner] of target.items.entries()) this.#assign(inner, items[index]!, scope)
  }

  #evaluate(node: Expression, scope: Scope): Value {
    return this.#evaluator.evaluate(node, scope)
  }
}

/** `self`, whose attributes are the template's blocks. */
class TemplateReference extends TemplateObject {
  readonly typeName = 'TemplateReference'
  readonly #blockOf: (name: string) => Callable | undefined

  constructor(blockOf: (name: string) => Callable | undefined) {
    super()
    this.#blockOf = blockOf
  }

  attribute(name: string): Value | undefined {
    return this.#blockOf(name)
  }

  override describe(): string {
    return '<TemplateReference None>'
  }
}

function namedBlocks(template: Template): Map<string, readonly Statement[]> {
  const blocks = new Map<string, readonly Statement[]>()
  walk(template, (node) => {
    if (node.type === 'block') blocks.set(node.name, node.body)
  })
  return blocks
}
