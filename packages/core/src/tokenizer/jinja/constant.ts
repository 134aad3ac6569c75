import type { Expression } from './ast.ts'
import type { Escaping } from './scope.ts'

/** Filters that need the rendering they run in. */
const contextual: ReadonlySet<string> = new Set(['map', 'select', 'reject', 'selectattr', 'rejectattr', 'random'])

/**
 * Whether Jinja2 works the expression out when it compiles the template, which shows in what it escapes, and in slices
 * of what has none. Filters wait where it does not know yet whether output is escaped.
 */
export function isConstant(node: Expression, escaping: Escaping): boolean {
  const areConstant = (nodes: readonly Expression[]): boolean => nodes.every((inner) => isConstant(inner, escaping))
  switch (node.type) {
    case 'constant':
    case 'float':
      return true
    case 'name':
    case 'call':
      return false
    case 'list':
    case 'tuple':
    case 'concat':
      return areConstant(node.items)
    case 'dict':
      return areConstant(node.entries.flat())
    case 'attribute':
      return isConstant(node.object, escaping)
    case 'item':
      return areConstant([node.object, node.key])
    case 'slice':
      return areConstant([node.start, node.stop, node.step].filter((part) => part !== null))
    case 'filter':
    case 'test':
      return (
        escaping !== null &&
        node.target !== null &&
        !contextual.has(node.name) &&
        areConstant([node.target, ...node.args.map(({ value }) => value)])
      )
    default:
      return areConstant(operandsOf(node))
  }
}

function operandsOf(node: Expression): readonly Expression[] {
  switch (node.type) {
    case 'negate':
    case 'plus':
    case 'not':
      return [node.operand]
    case 'and':
    case 'or':
    case 'binary':
      return [node.left, node.right]
    case 'compare':
      return [node.first, ...node.rest.map(([, operand]) => operand)]
    case 'condition':
      return [node.test, node.value, ...(node.otherwise === null ? [] : [node.otherwise])]
    default:
      return []
  }
}
