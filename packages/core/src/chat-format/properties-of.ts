import type { Schema } from './arguments-context.ts'

export interface ToolProperty {
  readonly key: string
  readonly schema: unknown
  readonly isRequired: boolean
}

/** A tool's parameters in the order of its schema. */
export function propertiesOf({ properties, required }: Schema): readonly ToolProperty[] {
  if (typeof properties !== 'object' || properties === null) return []
  const needed = Array.isArray(required) ? required : []
  return Object.entries(properties).map(([key, schema]) => ({ key, schema, isRequired: needed.includes(key) }))
}
