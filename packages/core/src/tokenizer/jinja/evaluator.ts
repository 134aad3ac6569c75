import { getAttribute, getItem, getSlice, isSliceable } from './access.ts'
import { concat, negate, operate, plus } from './arithmetic.ts'
import type { Argument, CompareOperator, Expression } from './ast.ts'
import type { Budget } from './budget.ts'
import { isConstant } from './constant.ts'
import { compareValues, isEqual, isIn, listOf, toKey } from './compare.ts'
import type { Filter, Runtime } from './filter.ts'
import { JinjaError } from './jinja-error.ts'
import { listFilters } from './list-filters.ts'
import { toText } from './printing.ts'
import type { Scope } from './scope.ts'
import { tests } from './tests.ts'
import { textFilters } from './text-filters.ts'
import {
  Callable,
  type CallArguments,
  Dict,
  isTrue,
  orUndefined,
  PyFloat,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from './values.ts'

const noKwargs: ReadonlyMap<string, Value> = new Map()

/** Expressions → values. */
export class Evaluator implements Runtime {
  readonly budget: Budget
  /** Of the node at work, for messages. */
  line = 1
  /** What the `autoescape` at work says; a macro asks it when it is called. */
  isEscaping = false

  constructor(budget: Budget) {
    this.budget = budget
  }

  evaluate(node: Expression, scope: Scope): Value {
    this.budget.step()
    switch (node.type) {
      case 'constant':
        return node.value
      case 'float':
        return new PyFloat(node.value)
      case 'name':
        return orUndefined(scope.get(node.name), `'${node.name}' is undefined`)
      case 'attribute': {
        const object = this.evaluate(node.object, scope)
        this.line = node.line
        return getAttribute(object, node.name, this.budget)
      }
      case 'item':
        return this.#item(node, scope)
      case 'call':
        return this.#call(node, scope)
      case 'filter':
        return this.filter(node, node.target === null ? null : this.evaluate(node.target, scope), scope)
      case 'test': {
        const value = this.evaluate(node.target, scope)
        const given = this.#arguments(node.args, scope)
        this.line = node.line
        return this.applyTest(node.name, value, given)
      }
      case 'not':
        return !isTrue(this.evaluate(node.operand, scope))
      case 'and': {
        const left = this.evaluate(node.left, scope)
        return isTrue(left) ? this.evaluate(node.right, scope) : left
      }
      case 'or': {
        const left = this.evaluate(node.left, scope)
        return isTrue(left) ? left : this.evaluate(node.right, scope)
      }
      case 'compare':
        return this.#compare(node, scope)
      case 'condition':
        if (isTrue(this.evaluate(node.test, scope))) return this.evaluate(node.value, scope)
        if (node.otherwise !== null) return this.evaluate(node.otherwise, scope)
        return new Undefined('the inline if-expression evaluated to false and no else section was defined')
      default:
        return this.#make(node, scope)
    }
  }

  /** Expressions that make a value of others. */
  #make(node: Expression, scope: Scope): Value {
    switch (node.type) {
      case 'binary': {
        const operands = [this.evaluate(node.left, scope), this.evaluate(node.right, scope)] as const
        this.line = node.line
        return operate(node.operator, operands, this.budget)
      }
      case 'concat':
        return concat(this.#all(node.items, scope), scope.escaping === true && !isConstant(node, true), this.budget)
      case 'list':
        return this.#all(node.items, scope)
      case 'tuple':
        return new Tuple(this.#all(node.items, scope))
      case 'dict': {
        const dict = new Dict()
        for (const [keyNode, valueNode] of node.entries) {
          const key = this.evaluate(keyNode, scope)
          dict.put(toKey(key, this.budget), key, this.evaluate(valueNode, scope))
        }
        this.budget.items(dict.size)
        return dict
      }
      case 'negate':
      case 'plus': {
        const operand = this.evaluate(node.operand, scope)
        return node.type === 'negate' ? negate(operand) : plus(operand)
      }
      default:
        throw new JinjaError(`a ${node.type} cannot stand here`, node.line)
    }
  }

  #all(nodes: readonly Expression[], scope: Scope): Value[] {
    this.budget.items(nodes.length)
    return nodes.map((node) => this.evaluate(node, scope))
  }

  #item(node: Extract<Expression, { type: 'item' }>, scope: Scope): Value {
    const object = this.evaluate(node.object, scope)
    const { key } = node
    if (key.type !== 'slice') {
      const index = this.evaluate(key, scope)
      this.line = node.line
      return getItem(object, index, this.budget)
    }
    const bound = (part: Expression | null): Value => (part === null ? null : this.evaluate(part, scope))
    const bounds = [bound(key.start), bound(key.stop), bound(key.step)] as const
    this.line = node.line
    // Jinja2 works constants out beforehand, and takes what fails there for undefined.
    if (!isSliceable(object) && isConstant(node.object, scope.escaping)) return new Undefined('there is no such slice')
    return getSlice(object, bounds, this.budget)
  }

  #compare(node: Extract<Expression, { type: 'compare' }>, scope: Scope): boolean {
    let left = this.evaluate(node.first, scope)
    for (const [operator, rightNode] of node.rest) {
      const right = this.evaluate(rightNode, scope)
      this.line = node.line
      if (!this.#holds(operator, left, right)) return false
      left = right
    }
    return true
  }

  #holds(operator: CompareOperator, left: Value, right: Value): boolean {
    const { budget } = this
    switch (operator) {
      case '==':
        return isEqual(left, right, budget)
      case '!=':
        return !isEqual(left, right, budget)
      case 'in':
        return isIn(left, right, budget)
      case 'not in':
        return !isIn(left, right, budget)
      case '<':
        return compareValues(left, right, { budget, sign: operator }) < 0
      case '<=':
        return compareValues(left, right, { budget, sign: operator }) <= 0
      case '>':
        return compareValues(left, right, { budget, sign: operator }) > 0
      case '>=':
        return compareValues(left, right, { budget, sign: operator }) >= 0
    }
  }

  #call(node: Extract<Expression, { type: 'call' }>, scope: Scope): Value {
    const callee = this.evaluate(node.callee, scope)
    const given = this.#arguments(node.args, scope)
    this.line = node.line
    return this.call(callee, given)
  }

  call(callee: Value, given: CallArguments): Value {
    if (callee instanceof Callable) return callee.call(given)
    if (callee instanceof TemplateObject) return this.budget.call(() => callee.call(given))
    if (callee instanceof Undefined) return callee.fail()
    throw new JinjaError(`'${typeName(callee)}' object is not callable`)
  }

  #arguments(nodes: readonly Argument[], scope: Scope): CallArguments {
    if (nodes.length === 0) return { args: [], kwargs: noKwargs }
    const args: Value[] = []
    const kwargs = new Map<string, Value>()
    for (const { kind, name, value: node } of nodes) {
      const value = this.evaluate(node, scope)
      if (kind === 'positional') args.push(value)
      else if (kind === 'named') addKeyword(kwargs, name, value)
      else if (kind === 'list') for (const item of listOf(value, this.budget)) args.push(item)
      else if (value instanceof Dict) {
        for (const [key, item] of value.entries.values()) addKeyword(kwargs, toText(key, this.budget), item)
      } else throw new JinjaError(`argument after ** must be a mapping, not ${typeName(value)}`)
    }
    return { args, kwargs }
  }

  filter(node: Extract<Expression, { type: 'filter' }>, value: Value, scope: Scope): Value {
    const given = this.#arguments(node.args, scope)
    this.line = node.line
    return this.applyFilter(node.name, value, given)
  }

  applyFilter(name: string, value: Value, given: CallArguments): Value {
    return filterOf(name)(value, given, this)
  }

  applyTest(name: string, value: Value, { args, kwargs }: CallArguments): boolean {
    if (!Object.hasOwn(tests, name)) throw new JinjaError(`there is no test '${name}'`)
    const { numArgs, run } = tests[name]!
    const given = [...args, ...kwargs.values()]
    if (given.length !== numArgs)
      throw new JinjaError(`the test '${name}' takes ${numArgs} arguments, got ${given.length}`)
    return run(value, given[0] ?? null, this)
  }
}

function filterOf(name: string): Filter {
  if (Object.hasOwn(textFilters, name)) return textFilters[name]!
  if (Object.hasOwn(listFilters, name)) return listFilters[name]!
  throw new JinjaError(`there is no filter '${name}'`)
}

function addKeyword(kwargs: Map<string, Value>, name: string, value: Value): void {
  if (kwargs.has(name)) throw new JinjaError(`got multiple values for keyword argument '${name}'`)
  kwargs.set(name, value)
}
