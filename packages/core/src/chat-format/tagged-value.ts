import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { parsePythonValue } from './python-value.ts'

/**
 * How the text of a tagged argument is meant, by the tool's schema: as it is, as JSON, or as JSON if it is such and as it
 * is otherwise (a schema that allows both, or none).
 */
export type ValueKind = 'text' | 'json' | 'either'

type Schema = Readonly<Record<string, unknown>>

export function createValueKinds(tools: readonly ToolDefinition[]): (tool: string, key: string) => ValueKind {
  const byName = new Map(tools.map((tool) => [tool.function.name, tool.function.parameters ?? null]))
  return (tool, key) => {
    const schema = byName.get(tool)
    if (schema == null) return 'either'
    const properties = schema.properties
    const property = isSchema(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
    return kindOf(typesOf(property, schema))
  }
}

function kindOf(types: ReadonlySet<string> | null): ValueKind {
  if (types === null) return 'either'
  if (!types.has('string')) return 'json'
  return types.size === 1 ? 'text' : 'either'
}

/** A schema of schemas may refer to itself. */
const maxDepth = 16

/** The types that a schema allows; null where it does not say. */
export function typesOf(schema: unknown, root: unknown, depth = 0): ReadonlySet<string> | null {
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

/** A value's text as JSON, or as Python writes it, as some templates do; what is neither is a string. */
export function jsonOfText(text: string, kind: ValueKind): string {
  const trimmed = text.trim()
  if (isJson(trimmed)) return trimmed
  const python = kind === 'json' ? parsePythonValue(trimmed) : null
  return python ?? `"${escapeText(kind === 'json' ? trimmed : text)}"`
}

/** Strings stand without quotes, so a text in quotes is a string that has them. */
function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) !== 'string'
  } catch {
    return false
  }
}
