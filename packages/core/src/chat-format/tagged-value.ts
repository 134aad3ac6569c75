import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { parsePythonValue } from './python-value.ts'

/** The types that a tool's schema allows an argument; null where it does not say. */
export type ValueTypes = ReadonlySet<string> | null

type Schema = Readonly<Record<string, unknown>>

export function createValueTypes(tools: readonly ToolDefinition[]): (tool: string, key: string) => ValueTypes {
  const byName = new Map(tools.map((tool) => [tool.function.name, tool.function.parameters ?? null]))
  return (tool, key) => {
    const schema = byName.get(tool)
    if (schema == null) return null
    const properties = schema.properties
    const property = isSchema(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
    return typesOf(property, schema)
  }
}

/** A text is a string and nothing else: it needs no look at its end. */
export function isText(types: ValueTypes): boolean {
  return types !== null && types.size === 1 && types.has('string')
}

/** A schema of schemas may refer to itself. */
const maxDepth = 16

/** The types that a schema allows; null where it does not say. */
export function typesOf(schema: unknown, root: unknown, depth = 0): ValueTypes {
  if (!isSchema(schema) || depth > maxDepth) return null
  const { type } = schema
  if (typeof type === 'string') return new Set([type])
  if (Array.isArray(type)) return new Set(type.filter((name) => typeof name === 'string'))
  if (Array.isArray(schema.enum)) return new Set(schema.enum.map(typeOfValue))
  if (schema.const !== undefined) return new Set([typeOfValue(schema.const)])
  if (typeof schema.$ref === 'string') return typesOf(resolveRef(schema.$ref, root), root, depth + 1)
  const members = schema.anyOf ?? schema.oneOf
  if (!Array.isArray(members)) return null
  const all = members.map((member) => typesOf(member, root, depth + 1))
  return all.includes(null) ? null : new Set(all.flatMap((types) => [...types!]))
}

function resolveRef(ref: string, root: unknown): unknown {
  if (!ref.startsWith('#')) return undefined
  let value = root
  for (const key of ref.slice(1).split('/').slice(1))
    value = isSchema(value) ? value[decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~')] : undefined
  return value
}

function typeOfValue(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Text inside a JSON string; character by character, so that pieces of a text come out as the whole does. */
export function escapeText(text: string): string {
  return text.replace(/["\\\p{Cc}]/gu, (char) => JSON.stringify(char).slice(1, -1))
}

/**
 * A value's text as JSON, or as Python writes it, as some templates do. A string stands without quotes, so that what is
 * neither is one, and where strings are allowed, all that is of no other allowed type.
 */
export function jsonOfText(text: string, types: ValueTypes): string {
  const trimmed = text.trim()
  const takesText = types === null || types.has('string')
  const type = jsonTypeOf(trimmed)
  if (type !== null && (types === null ? type !== 'string' : !takesText || allows(types, type))) return trimmed
  const python = takesText ? null : parsePythonValue(trimmed)
  return python ?? `"${escapeText(takesText ? text : trimmed)}"`
}

function allows(types: ReadonlySet<string>, type: string): boolean {
  if (type === 'string') return false
  return types.has(type) || (type === 'number' && types.has('integer'))
}

function jsonTypeOf(text: string): string | null {
  try {
    return typeOfValue(JSON.parse(text))
  } catch {
    return null
  }
}
