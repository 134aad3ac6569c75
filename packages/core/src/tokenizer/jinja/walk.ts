import type { Expression, Statement, Template } from './ast.ts'

/** Visits every object of a syntax tree that is a node, each before those inside it. */
export function walk(root: unknown, visit: (node: Expression | Statement) => void): void {
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const node = pending.pop()
    if (typeof node !== 'object' || node === null || node instanceof Set) continue
    if (!Array.isArray(node) && 'type' in node) visit(node as Expression | Statement)
    for (const inner of Object.values(node).reverse()) pending.push(inner)
  }
}

/** Which of the names the statements read. */
export function usedNames(body: Template, names: readonly string[]): Set<string> {
  const used = new Set<string>()
  walk(body, (node) => {
    if (node.type === 'name' && names.includes(node.name)) used.add(node.name)
  })
  return used
}
