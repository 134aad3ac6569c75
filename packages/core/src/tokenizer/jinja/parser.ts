import type { Expression, FilterExpression, MacroBody, Parameter, Statement, Target, Template } from './ast.ts'
import { parseExpression, parseFilterCall, parseFilter, parseTuple } from './expression-parser.ts'
import { JinjaError } from './jinja-error.ts'
import { tokenize } from './lexer.ts'
import { TokenStream } from './token-stream.ts'
import { usedNames } from './walk.ts'

/** The source of a template → its syntax tree. Throws JinjaError with the line. */
export function parseTemplate(source: string): Template {
  const stream = new TokenStream(tokenize(source))
  try {
    return parseBody(stream, [])
  } catch (error) {
    if (error instanceof RangeError) throw new JinjaError('it is nested too deep', stream.line)
    throw error
  }
}

/** Statements up to one of the tags, whose name is left as the current token. */
function parseBody(stream: TokenStream, endTags: readonly string[]): Statement[] {
  const body: Statement[] = []
  for (;;) {
    const { type, value, line } = stream.current
    if (type === 'end') {
      if (endTags.length > 0)
        stream.fail(`the template ends where ${endTags.map((tag) => `'${tag}'`).join(' or ')} is missing`)
      return body
    }
    stream.next()
    if (type === 'text') body.push({ type: 'text', text: value, line })
    else if (type === 'outputBegin') {
      body.push({ type: 'output', value: parseTuple(stream), line })
      stream.expect('outputEnd')
    } else {
      if (endTags.some((tag) => stream.isName(tag))) return body
      body.push(...stream.nested(() => parseTag(stream)))
      stream.expect('blockEnd')
    }
  }
}

/** The rest of a tag, and the statements up to the tag that ends it, which is consumed but for its `%}`. */
function parseBlock(stream: TokenStream, endTag: string): Statement[] {
  const body = openBlock(stream, [endTag])
  stream.next()
  return body
}

function openBlock(stream: TokenStream, endTags: readonly string[]): Statement[] {
  stream.skip('operator', ':')
  stream.expect('blockEnd')
  return parseBody(stream, endTags)
}

function parseTag(stream: TokenStream): Statement[] {
  const { value: tag, line } = stream.expect('name')
  switch (tag) {
    case 'set':
      return [parseSet(stream, line)]
    case 'if':
      return [parseIf(stream, line)]
    case 'for':
      return [parseFor(stream, line)]
    case 'macro':
      return [parseMacro(stream, line)]
    case 'call':
      return [parseCallBlock(stream, line)]
    case 'filter': {
      let filter = parseFilterCall(stream, null)
      if (stream.isOperator('|')) filter = parseFilter(stream, filter)
      return [{ type: 'filterBlock', filter, body: parseBlock(stream, 'endfilter'), line }]
    }
    case 'with':
      return [parseWith(stream, line)]
    case 'print':
      return parsePrint(stream, line)
    case 'generation':
      return [{ type: 'scope', body: parseBlock(stream, 'endgeneration'), line }]
    case 'autoescape':
      return [parseAutoescape(stream, line)]
    case 'block':
      return [parseNamedBlock(stream, line)]
    case 'break':
    case 'continue':
      return [{ type: tag, line }]
    case 'extends':
    case 'include':
    case 'import':
    case 'from':
      while (!stream.isAt('blockEnd') && !stream.isAt('end')) stream.next()
      return [{ type: 'unsupported', tag, line }]
    default:
      return stream.fail(`the tag '${tag}' is unknown or stands where it ends nothing`, line)
  }
}

function parseSet(stream: TokenStream, line: number): Statement {
  const target = parseTargets(stream, { takesMembers: true })
  if (stream.skip('operator', '=')) return { type: 'set', target, value: parseTuple(stream), line }
  const filter: FilterExpression | null = stream.isOperator('|') ? parseBlockFilter(stream) : null
  return { type: 'setBlock', target, filter, body: parseBlock(stream, 'endset'), line }
}

function parseBlockFilter(stream: TokenStream): FilterExpression {
  stream.next()
  const first = parseFilterCall(stream, null)
  return stream.isOperator('|') ? parseFilter(stream, first) : first
}

function parseTargets(
  stream: TokenStream,
  { takesMembers = false, endNames = [] }: { takesMembers?: boolean; endNames?: readonly string[] } = {},
): Target {
  const items: Target[] = []
  let isTuple = false
  for (;;) {
    if (items.length > 0) stream.expect('operator', ',')
    const isEnd = stream.isAt('blockEnd') || stream.isOperator(')') || endNames.some((name) => stream.isName(name))
    if (isEnd && items.length > 0) break
    items.push(parseTarget(stream, takesMembers))
    if (!stream.isOperator(',')) break
    isTuple = true
  }
  return isTuple ? { type: 'tuple', items } : items[0]!
}

function parseTarget(stream: TokenStream, takesMembers: boolean): Target {
  if (stream.skip('operator', '(')) {
    const inner = stream.nested(() => parseTargets(stream, { takesMembers }))
    stream.expect('operator', ')')
    return inner
  }
  const { value: name, line } = stream.expect('name')
  if (/^(?:[Tt]rue|[Ff]alse|[Nn]one)$/.test(name)) stream.fail(`'${name}' cannot be assigned to`, line)
  if (takesMembers && stream.skip('operator', '.'))
    return { type: 'member', object: name, name: stream.expect('name').value }
  return { type: 'name', name }
}

function parseIf(stream: TokenStream, line: number): Statement {
  const branches: { test: Expression; body: Statement[] }[] = []
  for (;;) {
    const test = parseTuple(stream, { hasCondition: false })
    branches.push({ test, body: openBlock(stream, ['elif', 'else', 'endif']) })
    const { value: next } = stream.next()
    if (next !== 'elif')
      return { type: 'if', branches, otherwise: next === 'else' ? parseBlock(stream, 'endif') : [], line }
  }
}

function parseFor(stream: TokenStream, line: number): Statement {
  const target = parseTargets(stream, { endNames: ['in'] })
  stream.expect('name', 'in')
  const iterable = parseTuple(stream, { hasCondition: false, endNames: ['recursive'] })
  const test = stream.skip('name', 'if') ? parseExpression(stream) : null
  const isRecursive = stream.skip('name', 'recursive')
  const body = openBlock(stream, ['endfor', 'else'])
  const otherwise = stream.next().value === 'else' ? parseBlock(stream, 'endfor') : []
  return { type: 'for', target, iterable, test, isRecursive, body, otherwise, line }
}

function parseSignature(stream: TokenStream): Parameter[] {
  const params: Parameter[] = []
  stream.expect('operator', '(')
  while (!stream.isOperator(')')) {
    if (params.length > 0) stream.expect('operator', ',')
    const { value: name } = stream.expect('name')
    const defaultValue = stream.skip('operator', '=') ? parseExpression(stream) : null
    if (defaultValue === null && params.at(-1)?.defaultValue != null)
      stream.fail(`the parameter '${name}' needs a default, as the one before it has one`)
    params.push({ name, defaultValue })
  }
  stream.next()
  return params
}

function parseMacro(stream: TokenStream, line: number): Statement {
  const { value: name } = stream.expect('name')
  const params = parseSignature(stream)
  return { type: 'macro', macro: macroBody(name, params, parseBlock(stream, 'endmacro')), line }
}

function parseCallBlock(stream: TokenStream, line: number): Statement {
  const params = stream.isOperator('(') ? parseSignature(stream) : []
  const call = parseExpression(stream)
  if (call.type !== 'call') stream.fail('expected a call', line)
  return { type: 'callBlock', call, caller: macroBody('caller', params, parseBlock(stream, 'endcall')), line }
}

function macroBody(name: string, params: readonly Parameter[], body: readonly Statement[]): MacroBody {
  const declared = new Set(params.map((param) => param.name))
  const special = usedNames(body, ['caller', 'varargs', 'kwargs'])
  return { name, params, body, uses: new Set([...special].filter((used) => !declared.has(used))) }
}

function parseWith(stream: TokenStream, line: number): Statement {
  const bindings: [Target, Expression][] = []
  while (!stream.isAt('blockEnd')) {
    if (bindings.length > 0) stream.expect('operator', ',')
    const target = parseTarget(stream, false)
    stream.expect('operator', '=')
    bindings.push([target, parseExpression(stream)])
  }
  return { type: 'with', bindings, body: parseBlock(stream, 'endwith'), line }
}

function parsePrint(stream: TokenStream, line: number): Statement[] {
  const outputs: Statement[] = []
  while (!stream.isAt('blockEnd')) {
    if (outputs.length > 0) stream.expect('operator', ',')
    outputs.push({ type: 'output', value: parseExpression(stream), line })
  }
  return outputs
}

function parseAutoescape(stream: TokenStream, line: number): Statement {
  const isOn = parseExpression(stream)
  return { type: 'autoescape', isOn, body: parseBlock(stream, 'endautoescape'), line }
}

function parseNamedBlock(stream: TokenStream, line: number): Statement {
  const { value: name } = stream.expect('name')
  const isScoped = stream.skip('name', 'scoped')
  stream.skip('name', 'required')
  stream.declareBlock(name, line)
  const body = parseBlock(stream, 'endblock')
  stream.skip('name', name)
  return { type: 'block', name, isScoped, body, line }
}
