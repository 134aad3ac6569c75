import { z } from 'zod'

/** A schema of this folder, for those who do not import zod. */
export type WireSchema = z.ZodType

/**
 * What a body must be, as JSON Schema (draft 2020-12), for people and programs that read it; rules between fields are not
 * in it. Schemas written by hand (`z.custom`) say what they take by `.meta({ … })`.
 */
export function jsonSchemaOf(schema: WireSchema): Record<string, unknown> {
  const { $schema: _, ...jsonSchema } = z.toJSONSchema(schema, {
    unrepresentable: 'any',
    // Bounded arrays check their length before their entries: the second half of such a pipe has the entries.
    io: 'output',
    override: ({ zodSchema, jsonSchema }) => amend(zodSchema._zod.def, jsonSchema),
  })
  return jsonSchema
}

function amend(def: z.core.$ZodTypeDef, jsonSchema: z.core.JSONSchema.BaseSchema): void {
  switch (def.type) {
    case 'object':
      // Unknown fields are dropped, not refused, unless the schema is a strict one.
      if ((def as z.core.$ZodObjectDef).catchall === undefined) delete jsonSchema.additionalProperties
      return
    case 'pipe':
      return void Object.assign(jsonSchema, lengthsOf((def as z.core.$ZodPipeDef).in))
    case 'bigint':
      return void (jsonSchema.type = 'integer')
    case 'number':
      // Said of every integer in JavaScript.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
      return
  }
}

/** Of an array that has checks. */
function lengthsOf({ _zod: { def } }: z.core.$ZodType): { minItems?: number; maxItems?: number } {
  const lengths: { minItems?: number; maxItems?: number } = {}
  for (const check of def.checks ?? []) {
    const bound = check._zod.def as { check: string; minimum?: number; maximum?: number }
    if (bound.check === 'min_length' && bound.minimum !== 0) lengths.minItems = bound.minimum
    if (bound.check === 'max_length') lengths.maxItems = bound.maximum
  }
  return lengths
}
