import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { jsonObjectSchema } from './json-object.ts'

/** What `structured_outputs` must have exactly one of. */
export const structuredOutputKinds = ['json', 'regex', 'choice', 'grammar', 'json_object', 'structural_tag'] as const

const knownFields = `${structuredOutputKinds.join(', ')}, disable_any_whitespace and disable_additional_properties`

/** vLLM's constraints of the content: one kind, and how JSON is written. */
export const structuredOutputsSchema = z
  .strictObject(
    {
      /** JSON Schema, perhaps as JSON text. */
      json: z.union([jsonObjectSchema, z.string(), z.boolean()]).nullish(),
      regex: z.string().min(1).nullish(),
      choice: boundedArray(z.string(), { min: 1, max: 4096 }).nullish(),
      /** EBNF with the rule `root`. */
      grammar: z.string().min(1).nullish(),
      json_object: z.boolean().nullish(),
      structural_tag: z.union([jsonObjectSchema, z.string()]).nullish(),
      /** No white space between the tokens of JSON. */
      disable_any_whitespace: z.boolean().nullish(),
      /** Objects have no properties but those that the schema names, where it does not say otherwise. */
      disable_additional_properties: z.boolean().nullish(),
      whitespace_pattern: z
        .custom<null>((value) => value === null, {
          error: 'is not supported; disable_any_whitespace: true leaves no white space',
        })
        .meta({ type: 'null' })
        .optional(),
    },
    {
      // A misspelt constraint would be none.
      error: ({ code }) =>
        code === 'unrecognized_keys' ? `has a field that is not known; known are ${knownFields}` : undefined,
    },
  )
  .superRefine((options, context) => {
    const given = structuredOutputKinds.filter((kind) => options[kind] != null && options[kind] !== false)
    // The schema `false`.
    if (options.json === false) given.unshift('json')
    if (given.length === 1) return
    const found = given.length === 0 ? 'none' : given.join(' and ')
    context.addIssue({
      code: 'custom',
      path: [],
      message: `must have exactly one of ${structuredOutputKinds.join(', ')}, got ${found}`,
    })
  })

export type StructuredOutputs = z.infer<typeof structuredOutputsSchema>
