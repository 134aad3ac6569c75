import type { Argument, BinaryOperator, CompareOperator, Expression, FilterExpression } from './ast.ts'
import type { TokenStream } from './token-stream.ts'
import { toInteger } from './values.ts'

const compareOperators: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>='])
const constants: Readonly<Record<string, boolean | null>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
}

export interface TupleOptions {
  /** Names that end the expression: `in` after the targets of a loop. */
  readonly endNames?: readonly string[]
  readonly hasCondition?: boolean
  /** Inside brackets, where `()` is an empty tuple. */
  readonly isBracketed?: boolean
}

/** One expression, or several joined by commas, which are a tuple. */
export function parseTuple(stream: TokenStream, options: TupleOptions = {}): Expression {
  const { line } = stream
  const items: Expression[] = []
  let isTuple = false
  for (;;) {
    if (items.length > 0) stream.expect('operator', ',')
    if (isTupleEnd(stream, options.endNames ?? [])) break
    items.push(options.hasCondition === false ? parseOr(stream) : parseExpression(stream))
    if (!stream.isOperator(',')) break
    isTuple = true
  }
  const [first] = items
  if (!isTuple && first !== undefined) return first
  if (!isTuple && options.isBracketed !== true) stream.fail(`expected an expression, found ${stream.describeCurrent()}`)
  return { type: 'tuple', items, line }
}

function isTupleEnd(stream: TokenStream, endNames: readonly string[]): boolean {
  return (
    stream.isAt('outputEnd') ||
    stream.isAt('blockEnd') ||
    stream.isOperator(')') ||
    endNames.some((name) => stream.isName(name))
  )
}

export function parseExpression(stream: TokenStream): Expression {
  return stream.nested(() => parseCondition(stream))
}

function parseCondition(stream: TokenStream): Expression {
  let value = parseOr(stream)
  while (stream.isName('if')) {
    const { line } = stream.next()
    const test = parseOr(stream)
    const otherwise = stream.skip('name', 'else') ? stream.nested(() => parseCondition(stream)) : null
    value = { type: 'condition', test, value, otherwise, line }
  }
  return value
}

export function parseOr(stream: TokenStream): Expression {
  let left = parseAnd(stream)
  while (stream.isName('or')) {
    const { line } = stream.next()
    left = { type: 'or', left, right: parseAnd(stream), line }
  }
  return left
}

function parseAnd(stream: TokenStream): Expression {
  let left = parseNot(stream)
  while (stream.isName('and')) {
    const { line } = stream.next()
    left = { type: 'and', left, right: parseNot(stream), line }
  }
  return left
}

function parseNot(stream: TokenStream): Expression {
  if (!stream.isName('not')) return parseCompare(stream)
  const { line } = stream.next()
  return { type: 'not', operand: stream.nested(() => parseNot(stream)), line }
}

function parseCompare(stream: TokenStream): Expression {
  const { line } = stream
  const first = parseSum(stream)
  const rest: [CompareOperator, Expression][] = []
  for (let operator = nextCompare(stream); operator !== null; operator = nextCompare(stream))
    rest.push([operator, parseSum(stream)])
  return rest.length === 0 ? first : { type: 'compare', first, rest, line }
}

function nextCompare(stream: TokenStream): CompareOperator | null {
  if (stream.isAt('operator') && compareOperators.has(stream.current.value))
    return stream.next().value as CompareOperator
  if (stream.skip('name', 'in')) return 'in'
  if (!stream.isName('not') || !stream.isNext('name', 'in')) return null
  stream.next()
  stream.next()
  return 'not in'
}

function parseSum(stream: TokenStream): Expression {
  return parseBinary(stream, ['+', '-'], parseConcat)
}

function parseConcat(stream: TokenStream): Expression {
  const { line } = stream
  const items = [parseProduct(stream)]
  while (stream.skip('operator', '~')) items.push(parseProduct(stream))
  return items.length === 1 ? items[0]! : { type: 'concat', items, line }
}

function parseProduct(stream: TokenStream): Expression {
  return parseBinary(stream, ['*', '/', '//', '%'], parsePower)
}

/** From the left, as Jinja2 does where Python would go from the right. */
function parsePower(stream: TokenStream): Expression {
  return parseBinary(stream, ['**'], (inner) => parseUnary(inner, true))
}

function parseBinary(
  stream: TokenStream,
  operators: readonly BinaryOperator[],
  parseOperand: (stream: TokenStream) => Expression,
): Expression {
  let left = parseOperand(stream)
  for (;;) {
    const operator = operators.find((candidate) => stream.isOperator(candidate))
    if (operator === undefined) return left
    const { line } = stream.next()
    left = { type: 'binary', operator, left, right: parseOperand(stream), line }
  }
}

function parseUnary(stream: TokenStream, takesFilters: boolean): Expression {
  const { line } = stream
  const sign = stream.skip('operator', '-') ? 'negate' : stream.skip('operator', '+') ? 'plus' : null
  const operand: Expression =
    sign === null ? parsePrimary(stream) : { type: sign, operand: stream.nested(() => parseUnary(stream, false)), line }
  const whole = parsePostfix(stream, operand)
  return takesFilters ? parseFilters(stream, whole) : whole
}

export function parsePrimary(stream: TokenStream): Expression {
  const { type, value, line } = stream.current
  switch (type) {
    case 'name':
      stream.next()
      return Object.hasOwn(constants, value)
        ? { type: 'constant', value: constants[value] ?? null, line }
        : { type: 'name', name: value, line }
    case 'string': {
      let text = ''
      while (stream.isAt('string')) text += stream.next().value
      return { type: 'constant', value: text, line }
    }
    case 'integer':
      stream.next()
      return { type: 'constant', value: toInteger(BigInt(value.replaceAll('_', ''))), line }
    case 'float':
      stream.next()
      return { type: 'float', value: Number(value.replaceAll('_', '')), line }
    default:
      return stream.nested(() => parseBracketed(stream))
  }
}

function parseBracketed(stream: TokenStream): Expression {
  const { line } = stream
  if (stream.skip('operator', '(')) {
    const inner = parseTuple(stream, { isBracketed: true })
    stream.expect('operator', ')')
    return inner
  }
  if (stream.skip('operator', '['))
    return { type: 'list', items: parseSeparated(stream, ']', () => parseExpression(stream)), line }
  if (!stream.skip('operator', '{')) stream.fail(`unexpected ${stream.describeCurrent()}`)
  const entries = parseSeparated(stream, '}', (): readonly [Expression, Expression] => {
    const key = parseExpression(stream)
    stream.expect('operator', ':')
    return [key, parseExpression(stream)]
  })
  return { type: 'dict', entries, line }
}

/** Items up to the closing bracket; a comma after the last one is allowed. */
function parseSeparated<T>(stream: TokenStream, closer: string, parseItem: () => T): T[] {
  const items: T[] = []
  while (!stream.isOperator(closer)) {
    if (items.length > 0) stream.expect('operator', ',')
    if (stream.isOperator(closer)) break
    items.push(parseItem())
  }
  stream.next()
  return items
}

export function parsePostfix(stream: TokenStream, start: Expression): Expression {
  let node = start
  for (;;) {
    const { line } = stream
    if (stream.skip('operator', '.')) node = parseMember(stream, node)
    else if (stream.skip('operator', '[')) node = { type: 'item', object: node, key: parseKey(stream), line }
    else if (stream.isOperator('(')) node = { type: 'call', callee: node, args: parseArguments(stream), line }
    else return node
  }
}

function parseMember(stream: TokenStream, object: Expression): Expression {
  const { type, value, line } = stream.next()
  if (type === 'name') return { type: 'attribute', object, name: value, line }
  if (type !== 'integer') stream.fail('expected a name or a number after "."', line)
  return { type: 'item', object, key: { type: 'constant', value: Number(value.replaceAll('_', '')), line }, line }
}

/** What stands in `[…]`: an expression, a slice, or several of them. */
function parseKey(stream: TokenStream): Expression {
  const { line } = stream
  const keys: Expression[] = []
  while (!stream.isOperator(']')) {
    if (keys.length > 0) stream.expect('operator', ',')
    keys.push(parseSubscript(stream))
  }
  stream.next()
  return keys.length === 1 ? keys[0]! : { type: 'tuple', items: keys, line }
}

function parseSubscript(stream: TokenStream): Expression {
  const { line } = stream
  const part = (): Expression | null =>
    stream.isOperator(':') || stream.isOperator(']') || stream.isOperator(',') ? null : parseExpression(stream)
  const start = stream.isOperator(':') ? null : parseExpression(stream)
  if (!stream.skip('operator', ':')) return start ?? stream.fail('expected a subscript')
  const stop = part()
  const step = stream.skip('operator', ':') ? part() : null
  return { type: 'slice', start, stop, step, line }
}

export function parseArguments(stream: TokenStream): Argument[] {
  stream.expect('operator', '(')
  const args: Argument[] = []
  while (!stream.isOperator(')')) {
    if (args.length > 0) stream.expect('operator', ',')
    if (stream.isOperator(')')) break
    args.push(parseArgument(stream, args))
  }
  stream.next()
  return args
}

function parseArgument(stream: TokenStream, before: readonly Argument[]): Argument {
  const has = (kind: Argument['kind']): boolean => before.some((arg) => arg.kind === kind)
  const { line } = stream
  const argument = ((): Argument => {
    if (stream.skip('operator', '*')) return { kind: 'list', name: '', value: parseExpression(stream) }
    if (stream.skip('operator', '**')) return { kind: 'dict', name: '', value: parseExpression(stream) }
    if (stream.isAt('name') && stream.isNext('operator', '=')) {
      const { value: name } = stream.next()
      stream.next()
      return { kind: 'named', name, value: parseExpression(stream) }
    }
    return { kind: 'positional', name: '', value: parseExpression(stream) }
  })()
  const isMisplaced = {
    positional: has('named') || has('list') || has('dict'),
    named: has('dict'),
    list: has('list') || has('dict'),
    dict: has('dict'),
  }[argument.kind]
  if (isMisplaced) stream.fail('the arguments of the call are in an order that is not allowed', line)
  return argument
}

function parseFilters(stream: TokenStream, start: Expression): Expression {
  let node = start
  for (;;) {
    const { line } = stream
    if (stream.isOperator('|')) node = parseFilter(stream, node)
    else if (stream.isName('is')) node = parseTest(stream, node)
    else if (stream.isOperator('(')) node = { type: 'call', callee: node, args: parseArguments(stream), line }
    else return node
  }
}

/** `| name(args)`, as often as it stands there. */
export function parseFilter(stream: TokenStream, start: Expression): FilterExpression {
  let node: Expression = start
  while (stream.skip('operator', '|')) node = parseFilterCall(stream, node)
  return node as FilterExpression
}

/** A filter's name and arguments, after the `|` or at the start of `{% filter … %}`. */
export function parseFilterCall(stream: TokenStream, target: Expression | null): FilterExpression {
  const { line } = stream
  const name = parseDottedName(stream)
  const args = stream.isOperator('(') ? parseArguments(stream) : []
  return { type: 'filter', target, name, args, line }
}

const testArgumentTypes: ReadonlySet<string> = new Set(['name', 'string', 'integer', 'float'])

function parseTest(stream: TokenStream, target: Expression): Expression {
  const { line } = stream.next()
  const isNegated = stream.skip('name', 'not')
  const name = parseDottedName(stream)
  const node: Expression = { type: 'test', target, name, args: parseTestArguments(stream), line }
  return isNegated ? { type: 'not', operand: node, line } : node
}

/** In brackets, or a single value without: `is divisibleby 3`. */
function parseTestArguments(stream: TokenStream): Argument[] {
  if (stream.isOperator('(')) return parseArguments(stream)
  const isValue = testArgumentTypes.has(stream.current.type) || stream.isOperator('[') || stream.isOperator('{')
  if (!isValue || ['else', 'or', 'and'].some((word) => stream.isName(word))) return []
  if (stream.isName('is')) stream.fail('tests cannot be chained with "is"')
  return [{ kind: 'positional', name: '', value: parsePostfix(stream, parsePrimary(stream)) }]
}

function parseDottedName(stream: TokenStream): string {
  let name = stream.expect('name').value
  while (stream.skip('operator', '.')) name += `.${stream.expect('name').value}`
  return name
}
