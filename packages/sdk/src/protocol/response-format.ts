import { z } from 'zod'
import { jsonObjectSchema, tooLarge } from './json-object.ts'

const jsonSchemaFormat = z.object(
  {
    name: z.string({ error: 'must be a string that names the schema' }).min(1).max(256),
    description: z.string().nullish(),
    /** JSON Schema. */
    schema: z.union([jsonObjectSchema, z.boolean()], { error: 'must be a JSON Schema: an object, or true or false' }),
    /** The schema is held either way. */
    strict: z.boolean().nullish(),
  },
  { error: 'must be an object with name and schema' },
)

const formats = [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({ type: z.literal('json_schema'), json_schema: jsonSchemaFormat }),
  // In vLLM's two forms, with `format` or with `structures` and `triggers`; the engine checks them.
  z.looseObject({ type: z.literal('structural_tag') }),
] as const

/** What the content of the answer must be. Calls of tools and reasoning are not content. */
export const responseFormatSchema = z
  .discriminatedUnion('type', formats, {
    error:
      'must be an object with the type "text", "json_object", "json_schema" or "structural_tag", and what belongs to it',
  })
  .refine((format) => jsonObjectSchema.safeParse(format).success, { error: tooLarge })
  .nullish()

export type ResponseFormat = NonNullable<z.infer<typeof responseFormatSchema>>
