import { z } from 'zod'

/** One served model, as GET /v1/models lists it. */
export const modelCardSchema = z.looseObject({
  id: z.string(),
  object: z.literal('model'),
  /** Seconds since 1970. */
  created: z.number(),
  owned_by: z.string(),
  /** What it was loaded from. */
  root: z.string().nullish(),
  parent: z.string().nullish(),
  /** Context in tokens. */
  max_model_len: z.number().nullish(),
  permission: z.array(z.unknown()).nullish(),
})

export const modelListSchema = z.looseObject({ object: z.literal('list'), data: z.array(modelCardSchema) })

export type ModelCard = z.infer<typeof modelCardSchema>
export type ModelList = z.infer<typeof modelListSchema>
