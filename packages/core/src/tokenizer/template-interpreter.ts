import { Environment, Interpreter, type RuntimeValue, type SyntaxNode } from '@huggingface/jinja'
import { ChatTemplateError } from '../errors.ts'
import { formatTime } from './format-time.ts'
import { TemplateBudget } from './template-budget.ts'

const maxRange = 100_000

/** What `raise_exception` throws, to tell it from the interpreter's own errors. */
export class RaisedException extends Error {}

/** Nodes whose value is text of the template's output; the others are statements, which write by themselves. */
const statementTypes: ReadonlySet<string> = new Set([
  'Set',
  'If',
  'For',
  'Macro',
  'CallStatement',
  'FilterStatement',
  'Break',
  'Continue',
  'Comment',
])

/**
 * `@huggingface/jinja`'s interpreter with a bound on its work, and where it differs from Jinja's in what templates use:
 * - `select` and `reject` with a test are unknown to it (Llama 3.1's template has `reject('equalto', …)`), and
 *   `selectattr` and `rejectattr` take literals only (Mistral's template compares with variables);
 * - `strip`, `lstrip` and `rstrip` ignore their argument (Qwen 3's template has `lstrip('\\n')`);
 * - it writes `none` as nothing and booleans in lower case, where Python writes None, True and False.
 */
class BoundedInterpreter extends Interpreter {
  readonly #budget = new TemplateBudget()

  override evaluate(node: SyntaxNode | undefined, environment: Environment): RuntimeValue {
    this.#budget.step()
    const value =
      (node?.type === 'CallExpression' ? this.#strip(node, environment) : null) ?? super.evaluate(node, environment)
    if (node !== undefined && makesValue(node)) this.#budget.make(value.value)
    return value
  }

  protected override evaluateBlock(statements: readonly SyntaxNode[], environment: Environment): RuntimeValue {
    this.#budget.step()
    let text = ''
    for (const statement of statements) {
      const value = this.evaluate(statement, environment)
      if (value.type === 'NullValue') text += statementTypes.has(statement.type) ? '' : 'None'
      else if (value.type === 'BooleanValue') text += value.value === true ? 'True' : 'False'
      else if (value.type !== 'UndefinedValue') text += value.toString()
    }
    this.#budget.make(text)
    return stringValue(text)
  }

  #strip({ callee, args }: SyntaxNode, environment: Environment): RuntimeValue | null {
    const method = callee?.type === 'MemberExpression' && callee.computed === false ? callee.property?.value : undefined
    if ((method !== 'strip' && method !== 'lstrip' && method !== 'rstrip') || args?.length !== 1) return null
    const text = this.evaluate(callee?.object, environment)
    const chars = this.evaluate(args[0], environment)
    if (typeof text.value !== 'string' || typeof chars.value !== 'string') return null
    return stringValue(
      stripChars(text.value, { chars: chars.value, isLeft: method !== 'rstrip', isRight: method !== 'lstrip' }),
    )
  }

  protected override applyFilter(operand: RuntimeValue, filter: SyntaxNode, environment: Environment): RuntimeValue {
    const [, verb, attr] = /^(select|reject)(attr)?$/.exec(filter.callee?.value ?? filter.value ?? '') ?? []
    if (verb === undefined || !Array.isArray(operand.value)) return super.applyFilter(operand, filter, environment)
    const values = (filter.args ?? []).map((arg) => this.evaluate(arg, environment))
    const path = attr === undefined ? null : String(values.shift()?.value)
    const [test, ...args] = values
    const items: readonly RuntimeValue[] = operand.value
    const kept = items.filter(
      (item) =>
        runTest(environment, { test, item: path === null ? item : attributeOf(item, path), args }) ===
        (verb === 'select'),
    )
    const ArrayValue = operand.constructor as new (items: readonly RuntimeValue[]) => RuntimeValue // not exported by the library
    return new ArrayValue(kept)
  }
}

/** Whether evaluating the node makes a new string or list, rather than naming one that exists. */
function makesValue({ type, property }: SyntaxNode): boolean {
  if (type === 'MemberExpression') return property?.type === 'SliceExpression'
  return type === 'BinaryExpression' || type === 'CallExpression' || type === 'FilterExpression'
}

/** `a.b` of a dict; undefined where there is none. */
function attributeOf(item: RuntimeValue, path: string): RuntimeValue {
  return path
    .split('.')
    .reduce(
      (value, name) =>
        value.value instanceof Map
          ? ((value.value.get(name) as RuntimeValue | undefined) ?? undefinedValue())
          : undefinedValue(),
      item,
    )
}

function undefinedValue(): RuntimeValue {
  return new Environment().set('value', undefined)
}

/** The library exports no value classes, but an environment converts what it is given. */
function stringValue(text: string): RuntimeValue {
  return new Environment().set('text', text)
}

/** Python's `str.strip(chars)`: any of the characters, at either end. */
function stripChars(
  text: string,
  { chars, isLeft, isRight }: { chars: string; isLeft: boolean; isRight: boolean },
): string {
  let [start, end] = [0, text.length]
  if (isLeft) while (start < end && chars.includes(text[start]!)) start++
  if (isRight) while (end > start && chars.includes(text[end - 1]!)) end--
  return text.slice(start, end)
}

/** Tests of Jinja that the library lacks. */
const moreTests: Readonly<Record<string, (value: unknown, arg: unknown) => boolean>> = {
  in: (value, arg) =>
    typeof arg === 'string'
      ? arg.includes(String(value))
      : Array.isArray(arg) && arg.some((item: RuntimeValue) => item.value === value),
  ne: (value, arg) => value !== arg,
  gt: (value, arg) => Number(value) > Number(arg),
  ge: (value, arg) => Number(value) >= Number(arg),
  lt: (value, arg) => Number(value) < Number(arg),
  le: (value, arg) => Number(value) <= Number(arg),
  divisibleby: (value, arg) => Number(value) % Number(arg) === 0,
}

function runTest(
  environment: Environment,
  { test, item, args }: { test: RuntimeValue | undefined; item: RuntimeValue; args: readonly RuntimeValue[] },
): boolean {
  if (test === undefined) return item.__bool__().value
  const name = String(test.value)
  const run = environment.tests.get(name)
  if (run !== undefined) return run(item, ...args)
  const ours = Object.hasOwn(moreTests, name) ? moreTests[name] : undefined
  if (ours === undefined) throw new Error(`Unknown test: ${name}`)
  return ours(item.value, args[0]?.value)
}

/** Renders a parsed template. @throws RaisedException | ChatTemplateError | the library's own errors */
export function runTemplate(program: SyntaxNode, variables: Readonly<Record<string, unknown>>): string {
  const environment = new Environment()
  const globals = {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    raise_exception: raiseException,
    range,
    strftime_now: formatTime,
  }
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value)
  return String(new BoundedInterpreter(environment).run(program).value)
}

function raiseException(message: unknown): never {
  throw new RaisedException(String(message))
}

function range(start: number, stop?: number | null, step?: number | null): number[] {
  const [from, to, by] = stop == null ? [0, start, 1] : [start, stop, step ?? 1]
  const count = by === 0 ? Number.NaN : Math.max(0, Math.ceil((to - from) / by))
  if (!Number.isInteger(count) || count > maxRange)
    throw new ChatTemplateError(
      `The chat template asks for range(${start}, ${String(stop)}, ${String(step)}); at most ${maxRange} numbers are allowed.`,
    )
  return Array.from({ length: count }, (_, i) => from + i * by)
}
