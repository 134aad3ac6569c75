import { z } from 'zod'
import { jsonObjectSchema, tooLarge } from '../json-object.ts'
import { onlyNeutral } from '../unsupported-option.ts'

const formats = [
  z.object({ type: z.literal('text') }),
  z.object({ type: z.literal('json_object') }),
  z.object({
    type: z.literal('json_schema'),
    name: z.string({ error: 'must be a string that names the schema' }).min(1).max(256),
    description: z.string().nullish(),
    /** JSON Schema. */
    schema: z.union([jsonObjectSchema, z.boolean()], { error: 'must be a JSON Schema: an object, or true or false' }),
    /** The schema is held either way. */
    strict: z.boolean().nullish(),
  }),
] as const

/** What the text of the answer must be. */
export const textConfigSchema = z.object({
  format: z
    .discriminatedUnion('type', formats, {
      error: 'must be an object with the type "text", "json_object" or "json_schema", and what belongs to it',
    })
    .refine((format) => jsonObjectSchema.safeParse(format).success, { error: tooLarge })
    .nullish(),
  verbosity: onlyNeutral(
    'medium',
    'is not known to the models here; ask for short or long answers in the instructions,',
  ),
})

export type TextConfig = z.infer<typeof textConfigSchema>
